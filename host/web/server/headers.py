"""Validate request ids and build the security and CORS headers of every response."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

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
_MAY_SEND = (
    b"Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    b"X-Request-ID, X-Tenant"
)
_MAY_READ = (
    b"ETag, Idempotency-Replayed, Link, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, "
    b"WWW-Authenticate, X-Request-ID"
)


def request_id_of(sent: bytes | None) -> str | None:
    """The client's X-Request-ID, which every log line shows; None unless it is 1 to 128 of A-Z a-z 0-9 _ . -"""
    if sent is None or not _REQUEST_ID.fullmatch(sent):
        return None
    return sent.decode("ascii")


class HeaderRules:
    """The security and CORS headers that every response carries besides its own.

    origins: web origins that may call from a browser, with cookies, such as "https://app.example.com"; "*" lets any
    page call, without cookies. max_age: seconds a browser may keep a preflight answer. public_url: where the
    deployment is reached; over TLS only, if it begins with https.

    Raises:
        ConfigurationError: an origin is not scheme, host and perhaps port.
    """

    def __init__(self, origins: Sequence[str] = (), max_age: int = 600, *, public_url: str = "") -> None:
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigurationError(
                    f"cors.origins: {origin!r} is no origin; write scheme, host and port only: https://app.example.com"
                )
        self._any = "*" in origins
        self._origins = frozenset(origin.encode("ascii") for origin in origins)
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
                (b"access-control-allow-headers", _MAY_SEND),
                (b"access-control-max-age", self._max_age),
            ]
        else:
            pairs.append((b"access-control-expose-headers", _MAY_READ))
        return pairs
