"""Refuse HTTP requests whose framing, target or method two parsers could read differently (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import h11

from host.errors import BadRequest
from host.web.server.request import Scope, headers_of

_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_VERSIONS = frozenset({b"1.0", b"1.1"})


def check_framing(scope: Scope) -> None:
    """Check a request as the ASGI server parsed it, whichever server that is.

    Raises:
        BadRequest: the length or the host is ambiguous, or the method is invalid; the connection is closed, as
            nobody knows where the next request on it begins.
    """
    try:
        headers = headers_of(scope)
        if b"transfer-encoding" in headers:
            _check_coding(headers, scope["http_version"])
        _check_line(scope["method"], scope["path"], headers.get(b"host", b""))
    except BadRequest as refused:
        if scope["http_version"] < "2":  # RFC 9113, section 8.2.2: HTTP/2 has no Connection header
            refused.headers = {**refused.headers, "Connection": "close"}
        raise


def _check_coding(headers: Mapping[bytes, bytes], version: str) -> None:
    if b"content-length" in headers:
        raise BadRequest("Send Content-Length or Transfer-Encoding, not both.")
    if version == "1.0" or headers[b"transfer-encoding"].lower() != b"chunked":
        raise BadRequest("The only Transfer-Encoding understood here is chunked, in HTTP/1.1.")


def _check_line(method: str, path: str, host: bytes) -> None:
    if not method.isupper():
        raise BadRequest("Methods are written in capitals, such as GET.")
    if not _HOST.fullmatch(host):
        raise BadRequest("The header Host takes a name or an address, and perhaps a port.")
    if path.startswith("/") or path == "*":
        return
    target = urlsplit(path)  # the absolute form, in which the target's host counts (RFC 9112, section 3.2.2)
    if target.scheme.lower() not in {"http", "https"} or target.netloc.lower().encode() != host.lower():
        raise BadRequest("The request's target names another host than the header Host.")


class StrictConnection(h11.Connection):
    """h11's server side without its leniency: malformed requests that h11 would silently repair are refused.

    Attributes:
        fault: why the request was refused, as a message to the client; empty when h11 itself refused it.
    """

    fault = ""

    def next_event(self) -> Any:
        """The next event, as h11 parses it.

        Raises:
            h11.RemoteProtocolError: two parsers could read the request differently.
        """
        if self.their_state is h11.IDLE:
            self._check_head(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._check_line(event)
        return event

    def _check_head(self, received: bytes) -> None:
        head, end, _ = received.partition(b"\r\n\r\n")
        if _uneven(head if end else head.removesuffix(b"\r")):
            self._refuse("Lines of the request's head end in CR LF, are not continued on the next, and hold no NUL.")
        _, *lengths = head.lower().split(b"\r\ncontent-length:")
        if len(lengths) > 1 or (lengths and b"," in lengths[0].partition(b"\r\n")[0]):
            self._refuse("Send Content-Length once.")

    def _check_line(self, request: h11.Request) -> None:
        if request.http_version not in _VERSIONS and request.method != b"PRI":
            self._refuse("The request is not HTTP/1.1.")
        if not request.method.isupper():
            self._refuse("Methods are written in capitals, such as GET.")

    def _refuse(self, fault: str) -> None:
        self.fault = fault
        raise h11.RemoteProtocolError(fault)


def _uneven(head: bytes) -> bool:
    """Whether other parsers could split a head into other lines; only fast searches, as every request is checked."""
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        return True
    return b"\r\n " in head or b"\r\n\t" in head or b"\0" in head
