"""One WebSocket over ASGI, with a server that is written here: bounds, closes, and what happens to the handler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from host.errors import NotFound, Unavailable
from host.web.server import websocket
from host.web.server.websocket import GOING_AWAY, Closing, Socket, TenantryWebsocket

Handler = Callable[[Socket], Awaitable[None]]


class Server:
    """What an ASGI server does for one socket: `receive` gives what the client sends, `sent` keeps what it gets."""

    def __init__(self, *texts: Any) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.pending = 0
        self.max_body, self.body_timeout = 0, 5.0
        self.taken = 0
        self.inbox.put_nowait({"type": "websocket.connect"})
        for text in texts:
            kind = "bytes" if isinstance(text, bytes) else "text"
            self.inbox.put_nowait({"type": "websocket.receive", kind: text})

    def leave(self, code: int = 1001) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": code})

    async def receive(self) -> dict[str, Any]:
        self.pending += 1
        try:
            message = await self.inbox.get()
        finally:
            self.pending -= 1
        self.taken += 1
        return message

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            assert not self.pending, "some servers send no close while a receive is pending"
            self.leave(message["code"])
        self.sent.append(message)

    async def serve(self, handler: Handler, extensions: Any = None) -> None:
        async def connect(request: Any, socket: Socket) -> None:
            self.socket = socket
            await socket.run(self._work(handler, socket), 0.3)

        self.connect = connect
        scope = {
            "type": "websocket",
            "method": "GET",
            "scheme": "ws",
            "path": "/",
            "query_string": b"",
            "http_version": "1.1",
            "headers": [],
            "extensions": extensions,
        }
        await TenantryWebsocket(self, scope)(self.receive, self.send)

    @staticmethod
    async def _work(handler: Handler, socket: Socket) -> None:
        await handler(socket)

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.sent if message["type"] == "websocket.send"]

    @property
    def close(self) -> tuple[int, str]:
        [message] = [message for message in self.sent if message["type"] == "websocket.close"]
        return message["code"], message["reason"]


async def echo(socket: Socket) -> None:
    async for message in socket:
        await socket.send({"said": message})


async def test_socket_when_the_client_leaves_then_all_it_said_is_heard_and_nothing_is_closed() -> None:
    heard: list[str] = []

    async def listen(socket: Socket) -> None:
        heard.extend([message async for message in socket])

    server = Server("a", "b")
    server.leave()
    await server.serve(listen)
    assert heard == ["a", "b"]
    assert server.socket.over.result() == Closing(1001, "", "client")
    assert [message["type"] for message in server.sent if message["type"] == "websocket.close"] == []


async def test_socket_when_the_handler_returns_without_a_word_then_opened_and_closed() -> None:
    async def nothing(socket: Socket) -> None:
        pass

    server = Server()
    await server.serve(nothing)
    assert [message["type"] for message in server.sent] == ["websocket.accept", "websocket.close"]
    assert server.close == (1000, "")


@pytest.mark.parametrize(
    ("said", "code"), [(b"bytes", 1003), ("ä" * 33_000, 1009), ("x" * 65_537, 1009)], ids=["bytes", "wide", "long"]
)
async def test_socket_when_a_message_is_not_as_it_should_be_then_closed_with_its_code(said: Any, code: int) -> None:
    server = Server(said)
    await server.serve(echo)
    assert (server.close[0], server.texts) == (code, [])


async def test_socket_when_the_handler_is_slow_then_no_more_is_received_than_may_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "FULL_FOR", 0.2)

    async def stuck(socket: Socket) -> None:
        await socket.accept()
        await asyncio.sleep(60)

    server = Server(*map(str, range(1000)))
    await server.serve(stuck)
    assert server.close[0] == 1013
    assert server.taken >= 1000, "what was not read is read before the end, so that the close arrives"


async def test_socket_when_the_client_does_not_read_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "SEND_WITHIN", 0.1)
    server = Server("a")
    send, ended = server.send, list[str]()

    async def blocked(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await asyncio.sleep(60)
        await send(message)

    async def handler(socket: Socket) -> None:
        try:
            await echo(socket)
        finally:
            ended.append("handler")

    server.send = blocked  # type: ignore[method-assign]
    await server.serve(handler)
    assert (server.close[0], ended) == (1013, ["handler"])


async def test_socket_when_the_host_ends_it_then_closed_at_once_and_its_handler_is_cancelled() -> None:
    ended = []

    async def handler(socket: Socket) -> None:
        try:
            await echo(socket)
        finally:
            await asyncio.sleep(0.05)
            ended.append(len(server.sent))

    server = Server("a")
    serving = asyncio.create_task(server.serve(handler))
    await asyncio.sleep(0.05)
    server.socket.end(GOING_AWAY)
    await serving
    assert server.close == (1001, GOING_AWAY.reason)
    assert ended == [len(server.sent)], "the close did not wait for the handler, the end did"


async def test_socket_when_the_handler_only_sends_and_the_client_leaves_then_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "LEAVE_WITHIN", 0.05)
    cancelled = []

    async def waiting(socket: Socket) -> None:
        await socket.send("hello")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    server = Server()
    server.leave()
    await server.serve(waiting)
    assert cancelled == [True]


async def test_socket_when_the_handler_closes_it_then_with_its_code_and_a_reason_that_fits() -> None:
    async def closing(socket: Socket) -> None:
        await socket.close(4000, "ä" * 100)
        with pytest.raises(ConnectionError):
            await socket.send("too late")

    server = Server()
    await server.serve(closing)
    assert server.close == (4000, "ä" * 61)

    async def reserved(socket: Socket) -> None:
        await socket.accept()
        await socket.close(1006)

    server = Server()
    await server.serve(reserved)
    assert server.close[0] == 1011


async def test_socket_when_the_handler_raises_then_a_document_before_it_is_open_and_a_code_after() -> None:
    async def early(socket: Socket) -> None:
        raise NotFound("There is no such room.")

    async def late(socket: Socket) -> None:
        await socket.send("hello")
        raise NotFound("There is no such room.")

    async def broken(socket: Socket) -> None:
        await socket.send("hello")
        raise RuntimeError("secret")

    server = Server()
    await server.serve(early, {"websocket.http.response": {}})
    assert [message.get("status") for message in server.sent] == [404, None]
    server = Server()
    await server.serve(early)
    assert server.close == (4404, "NOT_FOUND: There is no such room.")
    server = Server()
    await server.serve(late, {"websocket.http.response": {}})
    assert server.close == (4404, "NOT_FOUND: There is no such room.")
    server = Server()
    await server.serve(broken)
    assert server.close[0] == 1011
    assert "secret" not in server.close[1]


async def test_socket_when_the_handler_does_not_begin_then_refused() -> None:
    async def hanging(socket: Socket) -> None:
        await asyncio.sleep(60)

    server = Server()
    await server.serve(hanging, {"websocket.http.response": {}})
    assert server.sent[0]["status"] == Unavailable.status


async def test_socket_when_the_server_fails_to_send_then_the_client_has_left() -> None:
    server = Server("a")
    send = server.send

    async def gone(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            raise RuntimeError("the transport is closed")
        await send(message)

    server.send = gone  # type: ignore[method-assign]
    await server.serve(echo)
    assert server.socket.over.result().by == "client"
