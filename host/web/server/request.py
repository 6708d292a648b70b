"""A Quart request with lazily built headers and a body read on demand, within size and time limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, MutableMapping
from functools import cached_property
from typing import Any, cast
from urllib.parse import urlsplit

from quart.wrappers import Request
from quart.wrappers.request import Body
from werkzeug.datastructures import Headers

from host.errors import BadRequest, PayloadTooLarge, RequestTimeout
from host.web.server.deadline import HandlerDeadline

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]

_HEADERS_KEY = "tenantry.headers"
_SINGLE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"expect",
        b"host",
        b"idempotency-key",
        b"if-match",
        b"if-modified-since",
        b"if-range",
        b"if-unmodified-since",
        b"origin",
        b"range",
        b"transfer-encoding",
        b"upload-length",
        b"upload-offset",
        b"x-request-id",
        b"x-tenant",
    }
)


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The headers by lower-case name, repeated ones joined; cached in the scope, so made once for each request.

    Raises:
        BadRequest: a header that may come only once came twice; two readers of it could disagree about who is asking.
    """
    headers: dict[bytes, bytes] | None = scope.get(_HEADERS_KEY)
    if headers is None:
        pairs = scope["headers"]
        headers = dict(pairs)
        if len(headers) != len(pairs):
            headers = _joined(pairs)
        scope[_HEADERS_KEY] = headers  # before the check: the error's answer reads headers too
        if len(headers) != len(pairs):
            _check_single(pairs)
    return headers


def _joined(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    joined: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name not in joined:
            joined[name] = value
        else:
            joined[name] += (b"; " if name == b"cookie" else b", ") + value
    return joined


def _check_single(pairs: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in pairs]
    for name in _SINGLE.intersection(names):
        if names.count(name) > 1:
            raise BadRequest(f"The header {name.decode('latin-1')} may be sent only once.")


class RequestBody(Body):
    """The body, read from the server only on demand and never buffered ahead.

    timeout: seconds that its client may be silent, and may lag in all behind `min_rate` bytes a second; a rate of 0
    gives all of the body these seconds. Time in which nobody reads does not count.

    Attributes:
        complete: whether the last byte has been received.
        limit: bytes allowed, counted as they arrive, chunked or not; None: any number.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        length: int | None,
        complete: bool,
        limit: int | None,
        timeout: float,
        min_rate: int,
        http1: bool,
    ) -> None:
        # Quart's own constructor makes two asyncio events, which this body does not need.
        self.complete = complete
        self.limit = limit
        self._length = length
        self._timeout = timeout
        self._min_rate = min_rate
        self._http1 = http1
        self._pull = receive
        self._received = 0
        self._waited = 0.0
        self._whole: bytes | None = None

    async def read(self) -> bytes:
        """The whole body, which further calls return again.

        Raises:
            PayloadTooLarge: it is longer than `limit`.
            RequestTimeout: it did not arrive in time.
            BadRequest: the client went away.
        """
        if self._whole is None:
            parts = [part async for part in self.chunks()]
            self._whole = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._whole

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body chunk by chunk as it arrives, at the reader's pace; raises what `read` raises."""
        if self._whole is not None:
            if self._whole:
                yield self._whole
            return
        while not self.complete:
            chunk = await self._next()
            if chunk:
                yield chunk

    async def _next(self) -> bytes:
        if self._length is not None and self.limit is not None and self._length > self.limit:
            raise self._too_large()
        message = await self._timed()
        if message["type"] != "http.request":
            self.complete = True
            raise BadRequest("The client went away before the body had arrived.")
        self.complete = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        self._received += len(chunk)
        if self.limit is not None and self._received > self.limit:
            raise self._too_large()
        return chunk

    async def _timed(self) -> Mapping[str, Any]:
        # Only the time spent waiting for the client counts: a slow handler must not fail the upload.
        loop = asyncio.get_running_loop()
        started = loop.time()
        earned = self._received / self._min_rate if self._min_rate else 0.0
        try:
            async with asyncio.timeout(min(self._timeout, self._timeout + earned - self._waited)):
                return await self._pull()
        except TimeoutError:
            raise self._too_slow() from None
        finally:
            self._waited += loop.time() - started

    def _too_slow(self) -> RequestTimeout:
        # the next request would begin somewhere in this body; HTTP/2 has no such header (RFC 9113, section 8.2.2)
        return RequestTimeout(
            details={"received": self._received, "min_body_rate": self._min_rate},
            headers={"Connection": "close"} if self._http1 else {},
        )

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"The request body is larger than the {self.limit} bytes allowed here.", details={"max_body": self.limit}
        )

    # -- the interface of Quart's form parser and get_data -----------------------------------------------

    def __aiter__(self) -> RequestBody:
        return self

    async def __anext__(self) -> bytes:
        while not self.complete:
            chunk = await self._next()
            if chunk:
                return chunk
        raise StopAsyncIteration

    def __await__(self) -> Generator[Any, None, bytes]:
        return self.read().__await__()

    def clear(self) -> None:
        """Do nothing: Quart calls this to free memory, but the binder may read the body after it."""


class TenantryRequest(Request):
    """Quart's request, with headers, body and locks made only when they are needed.

    Attributes:
        deadline: the running handler's, whose clock stands still while a body is waited for.
    """

    _form = None
    _files = None
    deadline: HandlerDeadline | None = None

    def __init__(
        self, scope: Scope, receive: Receive, *, max_body: int | None, body_timeout: float, min_body_rate: int = 0
    ) -> None:
        # Quart's own constructor builds header objects, events and a lock for each request; here they are made lazily.
        self.scope = cast(Any, scope)
        self.method: str = scope["method"]
        self.scheme: str = scope["scheme"]
        self.query_string: bytes = scope["query_string"]
        self.root_path: str = scope.get("root_path", "")
        self.http_version: str = scope["http_version"]
        self.server = scope.get("server")
        client = scope.get("client")
        self.remote_addr: str | None = client[0] if client else None
        self.path = _path(scope["path"], self.root_path)
        self.max_body = max_body
        self.body_timeout = cast(Any, body_timeout)
        self.min_body_rate = min_body_rate
        self._receive = receive

    def header(self, name: bytes) -> str | None:
        """A header by its lower-case name, None when it was not sent."""
        value = headers_of(cast(Scope, self.scope)).get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def raw_headers(self) -> Mapping[bytes, bytes]:
        """All headers by lower-case name."""
        return headers_of(cast(Scope, self.scope))

    @cached_property
    def headers(self) -> Headers:  # type: ignore[override]
        """The headers as a werkzeug object, for Quart's own code."""
        return Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.scope["headers"]])

    @cached_property
    def body(self) -> RequestBody:  # type: ignore[override]
        """The body, not yet read."""
        return RequestBody(
            self._next_message,
            length=self.declared_length,
            complete=not self.may_have_body,
            limit=self.max_body,
            timeout=float(self.body_timeout or 0),
            min_rate=self.min_body_rate,
            http1=self.http_version < "2",
        )

    async def _next_message(self) -> Mapping[str, Any]:
        if self.deadline is None:
            return await self._receive()
        return await self.deadline.paused(self._receive())

    @property
    def declared_length(self) -> int | None:
        """Content-Length in bytes, None when it was not sent.

        Raises:
            BadRequest: it is not a number.
        """
        text = headers_of(cast(Scope, self.scope)).get(b"content-length")
        if text is None:
            return None
        if not text.isdigit():
            raise BadRequest("Content-Length is not a number.")
        return int(text)

    @property
    def may_have_body(self) -> bool:
        """Whether a body may follow: HTTP/1 says so in the headers, HTTP/2 need not."""
        headers = headers_of(cast(Scope, self.scope))
        length = headers.get(b"content-length")
        if length is not None:
            return length.strip(b"0") != b""
        return b"transfer-encoding" in headers or self.http_version >= "2"

    @property
    def body_touched(self) -> RequestBody | None:
        """The body if something has asked for it already, else None."""
        return cast("RequestBody | None", self.__dict__.get("body"))

    @property
    def has_files(self) -> bool:
        """Whether uploaded files were parsed, which stay open until the request is closed."""
        return bool(self._files)

    @cached_property
    def _cached_json(self) -> dict[bool, Any]:  # type: ignore[override]
        return {False: Ellipsis, True: Ellipsis}

    @cached_property
    def _parsing_lock(self) -> asyncio.Lock:  # type: ignore[override]
        return asyncio.Lock()


def _path(path: str, root_path: str) -> str:
    if not path.startswith("/"):
        path = urlsplit(path).path or "/"  # the absolute form of RFC 9112, section 3.2.2
    if root_path and path.startswith(root_path + "/"):
        return path[len(root_path) :]
    return path
