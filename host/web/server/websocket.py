"""Run one WebSocket over ASGI: accept it late, receive within bounds, and close it so that the client hears why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from host.errors import ApiError, Unavailable
from host.execution_context import origin, plugin
from host.instruments import tally
from host.web.responses.errors import problem, told
from host.web.responses.reply import dumps
from host.web.server.connection import Send
from host.web.server.request import Receive, Scope, TenantryRequest
from host.web.server.request_state import known_request_state

LARGEST = 64 * 1024
"""Bytes of a message, unless its route says otherwise."""

WAITING = 16
"""Messages that may wait for their handler; while so many do, the server reads no more from the network."""

FULL_FOR = 10.0
SEND_WITHIN = 10.0
"""Seconds that a handler may leave the waiting messages alone, and a client may take to receive one."""

LEAVE_WITHIN = 2.0
"""Seconds in which a handler returns after its client has left, and a client answers a close."""

_CLOSE_WITHIN = 0.5
_REASON = 123  # bytes; https://www.rfc-editor.org/rfc/rfc6455#section-5.5
_KEY = "tenantry.socket"

_log = logging.getLogger("host.web")


@dataclass(frozen=True, slots=True)
class Closing:
    """How a socket ends, and by whom; only the host does not wait for its handler."""

    code: int
    reason: str = ""
    by: Literal["host", "handler", "client"] = "host"


NORMAL = Closing(1000, "", "handler")
LEFT = Closing(1006, "", "client")
GOING_AWAY = Closing(1001, "This process stops; connect again.")
_BINARY = Closing(1003, "Messages are text.")
_FLOOD = Closing(1013, "Messages come faster than they are handled; try again later.")
_SLOW = Closing(1013, "Messages are not received; try again later.")


def closing_of(error: Exception) -> Closing:
    """How an error is told once a socket is open: 4000 and its HTTP status, such as 4403; 1011 for internal errors."""
    refusal = told(error)
    tally("tenantry_http_errors_total", refusal.code, plugin())
    if type(refusal) is ApiError:
        return Closing(1011, refusal.message)
    return Closing(4000 + refusal.status, f"{refusal.code}: {refusal.message}")


class Socket:
    """A WebSocket, as its handler has it.

    Iterating gives the client's messages, which are text, and ends when the client leaves. `send` sends text as it is
    and anything else as JSON. Returning closes the socket; `close` does so with a code of the handler's own (4000 to
    4999) and a reason. It is open from the first message that is awaited or sent: what is raised before is answered as
    an error document, later with the close code 4000 + status, such as 4404.

    Example:
        @routes.socket("/notes/echo", name="notes.echo", permission="notes.notes.read")
        async def echo(socket: Socket) -> None:
            \"\"\"Say what was said.\"\"\"
            async for message in socket:
                await socket.send(message)
    """

    def __init__(self, receive: Receive, send: Send, largest: int = LARGEST) -> None:
        self.largest = largest
        self.accepted = False
        self.over: asyncio.Future[Closing] = asyncio.get_running_loop().create_future()
        self._opened = asyncio.Event()
        self._receive, self._send = receive, send
        self._messages: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
        self._reading: asyncio.Task[None] | None = None

    def __aiter__(self) -> Socket:
        return self

    async def __anext__(self) -> str:
        """The next message.

        Raises:
            StopAsyncIteration: there is none any more.
        """
        await self.accept()
        if self.over.done() and (self._messages.empty() or self.over.result().by != "client"):
            raise StopAsyncIteration
        message = await self._messages.get()
        if message is None:
            raise StopAsyncIteration
        return message

    async def send(self, message: Any) -> None:
        """Send a message: text as it is, anything else as JSON.

        Raises:
            ConnectionError: the socket is closed; nobody needs to catch it.
        """
        self._check_open()
        await self.accept()
        text = message if isinstance(message, str) else dumps(message).decode()
        try:
            async with asyncio.timeout(SEND_WITHIN):
                await self._send({"type": "websocket.send", "text": text})
        except TimeoutError:
            self.end(_SLOW)
        except Exception as gone:  # each server has an error of its own for it
            _log.debug("a message could not be sent: %s", gone)
            self.end(LEFT)
        self._check_open()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it; the handler returns then.

        Raises:
            ValueError: the code is neither 1000 nor from 4000 to 4999.
        """
        if code != 1000 and not 4000 <= code < 5000:
            raise ValueError(f"{code}: a socket is closed with 1000, or with a code of its own from 4000 to 4999")
        self.end(Closing(code, reason, "handler"))

    # -- for the host ------------------------------------------------------------------------------------

    async def accept(self) -> None:
        """Open it, unless it is open already.

        Raises:
            ConnectionError: it is closed.
        """
        if not self.accepted:
            self._check_open()
            self.accepted = True
            await self._send({"type": "websocket.accept"})
            self._reading = asyncio.create_task(self._read())
            self._opened.set()

    async def first(self, within: float) -> str | None:
        """The first message; None if none comes within so many seconds.

        Raises:
            ConnectionError: the socket is over.
        """
        await self.accept()
        waiting = asyncio.create_task(self._messages.get())
        await _first_of(waiting, self.over, within=within)
        waiting.cancel()
        if self.over.done():
            await self.finish()
        self._check_open()
        return waiting.result() if waiting.done() else None

    def end(self, closing: Closing) -> None:
        """End it; the first reason counts."""
        if not self.over.done():
            self.over.set_result(closing)

    async def run(self, work: Coroutine[Any, Any, Any], open_within: float) -> None:
        """Do a handler's work until it is done or the socket is over.

        open_within: seconds in which the handler must begin to use the socket.

        Raises:
            Unavailable: it did not. Exception: what the handler raised.
        """
        handler = asyncio.create_task(work)
        opening = asyncio.create_task(self._opened.wait())
        try:
            await _first_of(handler, opening, self.over, within=open_within)
            if not (self.accepted or handler.done() or self.over.done()):
                raise Unavailable(f"This took longer than {open_within:g} seconds and was cancelled.")
            await _first_of(handler, self.over)
            if not handler.done() and self.over.result().by != "host":
                await asyncio.wait({handler}, timeout=LEAVE_WITHIN)
            if handler.done():
                await _result(handler)
        except asyncio.CancelledError:
            self.end(GOING_AWAY)
            raise
        finally:
            opening.cancel()
            if not handler.done():
                handler.cancel()
                if self.over.done():
                    await self.finish()
                await _left(handler)

    async def finish(self) -> None:
        """Close it towards the client, and let its answer arrive."""
        self.end(NORMAL)
        closing, reading, self._reading = self.over.result(), self._reading, None
        if reading is None and self.accepted:
            return  # it is finished
        await self.accept_to_close()
        if reading is not None:  # some servers send nothing while a receive is pending
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if closing.by == "client":
            return
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._send({"type": "websocket.close", "code": closing.code, "reason": _cut(closing.reason)})
        with suppress(Exception):
            # A connection that is closed with something unread is reset, and the close may not reach the client.
            async with asyncio.timeout(LEAVE_WITHIN):
                while (await self._receive())["type"] != "websocket.disconnect":
                    pass

    async def accept_to_close(self) -> None:
        """Open a socket that is closed before it was ever used, since only an open one has a close code."""
        if not self.accepted:
            self.accepted = True
            await self._send({"type": "websocket.accept"})

    def _check_open(self) -> None:
        if self.over.done():
            raise ConnectionAbortedError("the socket is closed")

    async def _read(self) -> None:
        while not self.over.done():
            try:
                message = await self._receive()
            except Exception as gone:  # as in send
                _log.debug("nothing more can be received: %s", gone)
                message = {"type": "websocket.disconnect"}
            if message["type"] == "websocket.disconnect":
                self.end(Closing(message.get("code") or LEFT.code, "", "client"))
                await self._messages.put(None)
            elif message.get("text") is None:
                self.end(_BINARY)
            elif len(message["text"].encode()) > self.largest:
                self.end(Closing(1009, f"A message has at most {self.largest} bytes."))
            else:
                await self._put(message["text"])

    async def _put(self, text: str) -> None:
        try:
            async with asyncio.timeout(FULL_FOR):
                await self._messages.put(text)
        except TimeoutError:
            self.end(_FLOOD)


class Answering(Protocol):
    """What a WebSocket needs of the application."""

    max_body: int
    body_timeout: float

    async def connect(self, request: TenantryRequest, socket: Socket) -> None: ...


class TenantryWebsocket:
    """Answers one WebSocket handshake and what follows; Quart makes one of these for each (`asgi_websocket_class`)."""

    def __init__(self, app: Answering, scope: Scope) -> None:
        self._app, self._scope = app, scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Serve the socket to its end."""
        await receive()  # websocket.connect
        self._scope.setdefault("method", "GET")  # https://www.rfc-editor.org/rfc/rfc6455#section-4.1
        request = TenantryRequest(self._scope, _no_body, max_body=0, body_timeout=self._app.body_timeout)
        socket = Socket(receive, send)
        self._scope[_KEY] = socket
        try:
            await self._app.connect(request, socket)
        except Exception as error:
            if not socket.over.done():
                if not socket.accepted and "websocket.http.response" in (self._scope.get("extensions") or {}):
                    await self._refuse(error, send)
                    return
                socket.end(closing_of(error))
        await socket.finish()
        if (state := known_request_state(request)) is not None:
            state.closed = socket.over.result().code

    async def _refuse(self, error: Exception, send: Send) -> None:
        accept = cast("dict[bytes, bytes]", dict(self._scope["headers"])).get(b"accept")
        reply = problem(error, accept, origin().request_id)
        await send({"type": "websocket.http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "websocket.http.response.body", "body": cast(bytes, reply.body), "more_body": False})


def socket_of(request: TenantryRequest) -> Socket:
    """The socket that a request opens."""
    return cast(Socket, cast("dict[str, Any]", request.scope)[_KEY])


async def _no_body() -> Mapping[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _first_of(*futures: asyncio.Future[Any], within: float | None = None) -> None:
    await asyncio.wait(futures, timeout=within, return_when=asyncio.FIRST_COMPLETED)


async def _result(handler: asyncio.Task[Any]) -> None:
    if not handler.cancelled():
        with suppress(ConnectionAbortedError):  # raised by the socket itself once it is closed
            await handler


async def _left(handler: asyncio.Task[Any]) -> None:
    done, _ = await asyncio.wait({handler}, timeout=LEAVE_WITHIN)
    if not done:
        _log.error("a handler of a socket goes on although it was cancelled: %s", handler.get_coro())
    elif not handler.cancelled() and (error := handler.exception()) is not None:
        _log.error("a handler of a socket failed when it was cancelled", exc_info=error)


def _cut(reason: str) -> str:
    return reason.encode()[:_REASON].decode(errors="ignore")
