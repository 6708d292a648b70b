"""Validate request ids and build the security and CORS headers of every response."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

from host.contracts import Download, Events, Route, Stream
from host.errors import ConfigurationError
from host.web.responses.reply import HeaderPairs

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,128}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")
_SAFETY: HeaderPairs = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_SENT = (
    *("Accept", "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("X-Request-ID", "X-Tenant"),
)
_READ = (
    *("ETag", "Idempotency-Replayed", "Link", "Location", "RateLimit-Limit", "RateLimit-Remaining"),
    *("RateLimit-Reset", "Retry-After", "WWW-Authenticate", "X-Request-ID"),
)
_SENT_TO: dict[object, tuple[str, ...]] = {
    Download: ("If-Modified-Since", "If-Range", "If-Unmodified-Since", "Range"),
    Events: ("Last-Event-ID",),
}
_READ_FROM: dict[object, tuple[str, ...]] = {
    Download: ("Accept-Ranges", "Content-Disposition", "Content-Range"),
    Stream: ("Content-Disposition",),
}


def request_id_of(sent: bytes | None) -> str | None:
    """The client's X-Request-ID, which every log line shows; None unless it is 1 to 128 of A-Z a-z 0-9 _ . -"""
    if sent is None or not _REQUEST_ID.fullmatch(sent):
        return None
    return sent.decode("ascii")


class HeaderRules:
    """The security and CORS headers that every response carries besides its own.

    origins: web origins that may call from a browser, with cookies, such as "https://app.example.com"; "*" lets any
    page call, without cookies. max_age: seconds a browser may keep a preflight answer. public_url: where the
    deployment is reached; over TLS only, if it begins with https. routes: what the deployment serves,
    whose headers pages of those origins may send and read.

    Raises:
        ConfigurationError: an origin is not scheme, host and perhaps port.
    """

    def __init__(
        self,
        origins: Sequence[str] = (),
        max_age: int = 600,
        *,
        public_url: str = "",
        routes: Sequence[Route] = (),
    ) -> None:
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigurationError(
                    f"cors.origins: {origin!r} is no origin; write scheme, host and port only: https://app.example.com"
                )
        self._any = "*" in origins
        self._origins = frozenset(origin.encode("ascii") for origin in origins)
        self._may_send = _listed(_SENT, routes, _SENT_TO, lambda route: route.request_headers)
        self._may_read = _listed(_READ, routes, _READ_FROM, lambda route: route.response_headers)
        self._max_age = b"%d" % max_age
        url = urlsplit(public_url)
        self._own = f"{url.scheme}://{url.netloc}".lower().encode()
        self._always = [*_SAFETY, _HSTS] if url.scheme == "https" else list(_SAFETY)
        if self._origins and not self._any:
            self._always.append((b"vary", b"Origin"))

    def lets_in(self, headers: Mapping[bytes, bytes]) -> Literal["yes", "without cookies", "no"]:
        """Whether the page that opens a WebSocket may: browsers send its origin, and leave the decision to the server.

        A page of this host itself and of the origins may; programs send no origin. headers: by lower-case name.
        """
        origin = headers.get(b"origin")
        if origin is None or origin in self._origins or origin == self._own:
            return "yes"
        if origin.partition(b"://")[2].lower() == headers.get(b"host", b"").lower() != b"":
            return "yes"
        return "without cookies" if self._any else "no"

    def for_answer(self, headers: Mapping[bytes, bytes]) -> HeaderPairs:
        """The headers to add to a response; headers: the request's, by lower-case name.

        A preflight (OPTIONS with Access-Control-Request-Method) needs no more: the application answers OPTIONS itself.
        """
        origin = headers.get(b"origin")
        if origin is None or not self._origins:
            return self._always
        if origin in self._origins:
            pairs = [*self._always, (b"access-control-allow-origin", origin)]
            pairs.append((b"access-control-allow-credentials", b"true"))
        elif self._any:
            pairs = [*self._always, (b"access-control-allow-origin", b"*")]
        else:
            return self._always
        if b"access-control-request-method" in headers:
            pairs += [
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", self._may_send),
                (b"access-control-max-age", self._max_age),
            ]
        else:
            pairs.append((b"access-control-expose-headers", self._may_read))
        return pairs


def _listed(
    always: Sequence[str],
    routes: Sequence[Route],
    by_kind: Mapping[object, tuple[str, ...]],
    declared: Callable[[Route], tuple[str, ...]],
) -> bytes:
    """Names of headers in order: those of every answer, of the routes' kinds, and those that routes declare."""
    names = list(always)
    for route in routes:
        kind = route.returns if isinstance(route.returns, type) else None
        names += (*by_kind.get(kind, ()), *declared(route))
    unique = {name.lower(): name for name in reversed(names)}  # of two spellings the first
    return ", ".join(unique[name] for name in sorted(unique)).encode("ascii")
