"""One HTTP connection's request and answer over ASGI: one task, body pulled on demand, answer in two messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Protocol, cast

from host.errors import NotFound
from host.execution_context import origin
from host.web.responses.errors import problem
from host.web.responses.reply import Reply
from host.web.server.request import Receive, Scope, TenantryRequest

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATIENCE = 1.0
"""Seconds a handler runs before a watch is set on whether its client is still there."""

LINGER_SECONDS = 2.0
LINGER_BYTES = 16 * 1024 * 1024
"""How much longer, and how many more bytes of, an unwanted body is read so that its sender sees the answer."""


class Answering(Protocol):
    """The application, as a connection knows it."""

    max_body: int
    body_timeout: float

    async def answer(self, request: TenantryRequest) -> Reply: ...


class _Closable(Protocol):
    async def aclose(self) -> None: ...


class TenantryConnection:
    """What Quart calls for each request (`asgi_http_class`).

    Quart's own keeps two tasks a request and reads bodies as fast as they come. Here the handler runs in the server's
    task; the body waits in the server, which stops reading from the network, until it is asked for.
    """

    def __init__(self, app: Answering, scope: Scope) -> None:
        self._app, self._scope = app, scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Answer the request; a client that leaves cancels its handler."""
        app = self._app
        request = TenantryRequest(self._scope, receive, max_body=app.max_body, body_timeout=app.body_timeout)
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
    """Cancels the handler when the client leaves; a task of its own only for those who take long."""

    def __init__(self, request: TenantryRequest, receive: Receive) -> None:
        self.client_gone = False
        self._request, self._receive = request, receive
        self._handler = cast("asyncio.Task[Any]", asyncio.current_task())
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(PATIENCE, self.begin)

    def begin(self) -> None:
        """Watch from now on, as soon as the whole body is in: until then whoever reads it sees the client leave."""
        self._cancel_timer()
        if self._task is not None:
            return
        if self._body_awaited():
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self.begin)
        else:
            self._task = asyncio.create_task(self._wait())

    def stop(self) -> None:
        """Watch no longer."""
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
    # The server closes the connection under whoever still sends: let the sender read the answer first, and keep the
    # server's queue moving, which would otherwise block on its own last message.
    await send({"type": "http.response.body", "body": body, "more_body": True})
    finished = await _linger(receive)
    sink = None if finished else asyncio.create_task(_discard(receive))
    try:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        if sink is not None:
            sink.cancel()


def _unread(request: TenantryRequest) -> bool:
    touched = request.body_touched
    return not touched.complete if touched is not None else request.may_have_body


async def _linger(receive: Receive) -> bool:
    """Read and forget the rest of a body; whether it, or the client, came to its end."""
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
                # A server need not suspend in send, least of all when the client has left: let the watch have a turn.
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        if hasattr(body, "aclose"):
            await cast(_Closable, body).aclose()


async def _started(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, the first already there: what fails before it is still answered with an error document."""
    pieces = aiter(body)
    try:
        first = await anext(pieces)
    except StopAsyncIteration:
        first = b""

    async def again() -> AsyncIterator[bytes]:
        try:
            yield first
            async for piece in pieces:
                yield piece
        finally:
            if hasattr(body, "aclose"):
                await cast(_Closable, body).aclose()

    return again()


def _is_events(reply: Reply) -> bool:
    """Whether the stream is of server-sent events, whose headers must not wait for the first of them."""
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in reply.headers)


class RefusedWebsocket:
    """There are no websockets here: the handshake is answered with the host's 404 (`asgi_websocket_class`)."""

    def __init__(self, app: Answering, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Refuse the handshake."""
        await receive()
        if "websocket.http.response" not in (self._scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1003})
            return
        accept = dict(cast("list[tuple[bytes, bytes]]", self._scope["headers"])).get(b"accept")
        reply = problem(NotFound(), accept, "")
        await send({"type": "websocket.http.response.start", "status": 404, "headers": reply.headers})
        await send({"type": "websocket.http.response.body", "body": cast(bytes, reply.body), "more_body": False})
