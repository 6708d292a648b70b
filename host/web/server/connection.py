"""Run one HTTP request over ASGI: read the body on demand, send the response, cancel when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Protocol, cast

from host.execution_context import origin
from host.web.responses.errors import problem
from host.web.responses.reply import Reply
from host.web.server.request import Receive, Scope, TenantryRequest

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATIENCE = 1.0
"""Seconds a handler runs before its connection is watched for the client's leaving."""

LINGER_SECONDS = 2.0
LINGER_BYTES = 16 * 1024 * 1024
"""How long, and how many bytes, an unread body is read after the answer, so that its sender sees the answer."""


class Answering(Protocol):
    """What a connection needs of the application."""

    max_body: int
    body_timeout: float
    min_body_rate: int

    async def answer(self, request: TenantryRequest) -> Reply: ...


class _Closable(Protocol):
    async def aclose(self) -> None: ...


class TenantryConnection:
    """Answers one HTTP request; Quart makes one of these for each (`asgi_http_class`).

    Quart's own class keeps two tasks a request and reads bodies as fast as they come. Here the handler runs in the
    server's task, and the server stops reading from the network until the handler asks for the body.
    """

    def __init__(self, app: Answering, scope: Scope) -> None:
        self._app, self._scope = app, scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Answer the request; a client that leaves cancels its handler."""
        app = self._app
        request = TenantryRequest(
            self._scope,
            receive,
            max_body=app.max_body,
            body_timeout=app.body_timeout,
            min_body_rate=app.min_body_rate,
        )
        watch = _Watch(request, receive)
        try:
            reply = await app.answer(request)
            if not isinstance(reply.body, bytes) and request.method != "HEAD" and not _is_events(reply):
                try:
                    reply.body = await _started(reply.body)
                except Exception as error:
                    reply = problem(error, request.raw_headers.get(b"accept"), origin().request_id)
            if isinstance(reply.body, bytes):
                watch.stop()
                await _send_whole(request, reply, reply.body, receive, send)
            else:
                watch.begin()
                await _send_stream(reply, reply.body, send, request.method == "HEAD")
        except asyncio.CancelledError:
            if not watch.client_gone:
                raise
            cast("asyncio.Task[Any]", asyncio.current_task()).uncancel()
        finally:
            watch.stop()
            if request.has_files:
                await request.close()


class _Watch:
    """Cancels the handler when the client leaves; it makes a task only for handlers that take long."""

    def __init__(self, request: TenantryRequest, receive: Receive) -> None:
        self.client_gone = False
        self._request, self._receive = request, receive
        self._handler = cast("asyncio.Task[Any]", asyncio.current_task())
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(PATIENCE, self.begin)

    def begin(self) -> None:
        """Start watching once the whole body has arrived: until then its reader notices when the client leaves."""
        self._cancel_timer()
        if self._task is not None:
            return
        if self._body_awaited():
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self.begin)
        else:
            self._task = asyncio.create_task(self._wait())

    def stop(self) -> None:
        """Stop watching."""
        self._cancel_timer()
        if self._task is not None:
            self._task.cancel()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _body_awaited(self) -> bool:
        touched = self._request.body_touched
        return not touched.complete if touched is not None else self._request.may_have_body

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_gone = True
        self._handler.cancel()


async def _send_whole(request: TenantryRequest, reply: Reply, body: bytes, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    body = b"" if request.method == "HEAD" else body
    if not _unread(request):
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return
    # The server closes the connection while the client may still be sending: let the client read the answer first, and
    # keep emptying the server's queue, which would otherwise block on its own last message.
    await send({"type": "http.response.body", "body": body, "more_body": True})
    ended = await _linger(receive)
    discarding = None if ended else asyncio.create_task(_discard(receive))
    try:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        if discarding is not None:
            discarding.cancel()


def _unread(request: TenantryRequest) -> bool:
    touched = request.body_touched
    return not touched.complete if touched is not None else request.may_have_body


async def _linger(receive: Receive) -> bool:
    """Read and discard the rest of a body; True if it ended, or the client left, within the limits."""
    remaining = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while remaining > 0:
                message = await receive()
                if not message.get("more_body", False):
                    return True
                remaining -= len(message.get("body", b""))
    except TimeoutError:
        pass
    return False


async def _discard(receive: Receive) -> None:
    while (await receive()).get("more_body", False):
        pass


async def _send_stream(reply: Reply, body: AsyncIterator[bytes], send: Send, head: bool) -> None:
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        if not head:
            async for piece in body:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                # A server need not suspend in send, least of all when the client has left: let the watching task run.
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        if hasattr(body, "aclose"):
            await cast(_Closable, body).aclose()


async def _started(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same stream with its first piece read: an error before it can still become an error document."""
    pieces = aiter(body)
    return _Resumed(await anext(pieces, b""), pieces)


class _Resumed:
    """A stream whose first piece was taken; a generator would not close its source before its own first piece."""

    def __init__(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await anext(self._rest)

    async def aclose(self) -> None:
        if hasattr(self._rest, "aclose"):
            await cast(_Closable, self._rest).aclose()


def _is_events(reply: Reply) -> bool:
    """Whether the stream is server-sent events, whose headers must not wait for the first event."""
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in reply.headers)
