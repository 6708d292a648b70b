"""The one error of requests to untrusted addresses, and its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
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
