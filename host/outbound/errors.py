"""The one error of requests to untrusted addresses, and its messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import httpcore2
import httpx2

SERVER = "whoever runs that server has to look"
"""What to do about answers that make no sense."""

Kind = Literal["address", "connection", "time", "size", "redirects", "answer"]


class OutboundError(Exception):
    """A request to an address that somebody named was refused or failed; its text may be shown to them.

    It is the same for a host that is unknown and one that leads inside: nobody learns which names exist there.

    Attributes:
        kind: address (not allowed, or unknown), connection, time, size, redirects, or answer (it is no proper HTTP).
        what: what happened.
        where: host and port; never the path or the query, which may hold tokens.
        remedy: what to do.

    Example:
        try:
            await web.get(url)
        except OutboundError as error:
            raise ValidationFailed(details={"url": f"{error.what}: {error.remedy}"}) from error
    """

    def __init__(self, kind: Kind, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}; {remedy}")
        self.kind, self.what, self.where, self.remedy = kind, what, where, remedy


def where_of(url: httpx2.URL) -> str:
    """Host and port of an address, for messages."""
    return named(url.host, url.port or {"http": 80, "https": 443}.get(url.scheme))


def named(host: str, port: int | None) -> str:
    """The same of a host and a port."""
    shown = f"[{host}]" if ":" in host else host or "the address"
    return f"{shown}:{port}" if port else shown


def too_long(where: str, max_bytes: int) -> OutboundError:
    """The error of an answer with too many bytes."""
    return OutboundError("size", f"its answer is longer than {max_bytes:,} bytes", where, "ask for less at once")


@contextmanager
def told(where: str) -> Iterator[None]:
    """Say every failure of the libraries as an OutboundError."""
    try:
        yield
    except OutboundError:
        raise
    except (TimeoutError, httpcore2.TimeoutException, httpx2.TimeoutException):
        raise OutboundError("time", "it did not answer in time", where, "try again later") from None
    except httpx2.TooManyRedirects:
        raise OutboundError("redirects", "it leads on and on", where, "name the address that it leads to") from None
    except (httpcore2.NetworkError, httpx2.NetworkError) as error:
        what = f"there is no connection ({error})" if str(error) else "there is no connection"
        raise OutboundError("connection", what, where, "try again later") from None
    except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol, httpx2.HTTPError, httpx2.InvalidURL):
        raise OutboundError("answer", "its answer is not as HTTP asks", where, SERVER) from None
