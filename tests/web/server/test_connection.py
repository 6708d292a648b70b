from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from host.contracts import Stream
from host.errors import NotFound
from host.web.handlers.binding import RequestFacts
from host.web.routes import Routes
from host.web.server import connection

CHUNK = b"x" * 65_536
routes = Routes()
happened: dict[str, Any] = {}


class Body(BaseModel):
    name: str


@routes.post("/names", name="names", summary="Names", public=True)
async def names(body: Body) -> str:
    return body.name


@routes.get("/names", name="names.read", summary="Names", public=True)
async def read() -> str:
    return "read"


@routes.post("/sink", name="sink", summary="A slow sink", public=True, max_body=1024**3)
async def sink(request: RequestFacts) -> int:
    taken = 0
    async for piece in request.chunks():
        taken += len(piece)
        await asyncio.sleep(0.005)
        if taken > 2 * 1024 * 1024:
            break
    return taken


@routes.post("/slow", name="slow", summary="Slow", public=True)
async def slow() -> None:
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        happened["cancelled"] = True
        raise


@routes.get("/endless", name="endless", summary="Endless", public=True, returns=Stream)
async def endless() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                happened["sent"] = happened.get("sent", 0) + len(CHUNK)
                yield CHUNK
        finally:
            happened["closed"] = True

    return Stream(pieces(), "application/octet-stream")


@routes.get("/events", name="events", summary="Events", public=True, returns=Stream)
async def events() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            await asyncio.sleep(30)
            yield b""
        finally:
            happened["closed"] = True

    return Stream(pieces(), "text/event-stream")


@routes.get("/lost", name="lost", summary="Lost", public=True, returns=Stream)
async def lost() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        raise NotFound("The file is gone.")
        yield b""

    return Stream(pieces(), "text/plain")


@routes.get("/empty", name="empty", summary="Empty", public=True, returns=Stream)
async def empty() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in ():
            yield piece

    return Stream(pieces(), "text/plain")


@routes.get("/many", name="many", summary="Many", public=True, returns=Stream)
async def many() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100_000):
            happened["pieces"] = number
            yield b"x"

    return Stream(pieces(), "text/plain")


@pytest.fixture
async def address(web: Any) -> AsyncIterator[str]:
    happened.clear()
    async with web.served(web.app(routes, max_body=1000, body_timeout=0.3)) as served:
        yield served


def head_of(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} /api/v1{path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


POST = ("Content-Type: application/json",)


def document(said: bytes) -> tuple[int, Any]:
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), httpx.Response(200, content=body).json()


async def test_requests_when_sent_one_after_the_other_then_on_one_connection(address: str) -> None:
    async with httpx.AsyncClient(base_url=address) as client:
        for number in range(3):
            answer = await client.post("/api/v1/names", json={"name": f"n{number}"})
            assert answer.json() == {"success": True, "data": f"n{number}"}
        pool = client._transport._pool  # type: ignore[attr-defined]
        assert len(pool.connections) == 1


async def test_head_when_asked_then_headers_only(address: str, web: Any) -> None:
    said = await web.say(address, head_of("HEAD", "/names", "Connection: close"))
    assert said.startswith(b"HTTP/1.1 200")
    assert b"content-length: 30" in said
    assert said.endswith(b"\r\n\r\n")


async def test_body_when_declared_too_long_then_413_and_the_sender_can_read_it(address: str, web: Any) -> None:
    text = head_of("POST", "/names", *POST, "Connection: close", "Content-Length: 2000000") + b"x" * 2_000_000
    status, told = document(await web.say(address, text))
    assert (status, told["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_body_when_chunked_and_too_long_then_413(address: str, web: Any) -> None:
    chunk = b"3E8\r\n" + b"x" * 1000 + b"\r\n"
    text = head_of("POST", "/names", *POST, "Transfer-Encoding: chunked") + chunk * 500 + b"0\r\n\r\n"
    said = await web.say(address, text + head_of("GET", "/names", "Connection: close"))
    first, second = said.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"413")
    assert b'"PAYLOAD_TOO_LARGE"' in first
    assert second.startswith(b"200"), "the connection is still good when the rest of the body was read"


async def test_body_when_it_never_comes_then_408_after_the_deadline_and_closed(address: str, web: Any) -> None:
    started = asyncio.get_running_loop().time()
    said = await web.say(address, head_of("POST", "/names", *POST, "Content-Length: 10") + b"{")
    status, told = document(said)
    assert (status, told["error"]["message"]) == (408, "The request body did not arrive in time.")
    assert (told["error"]["code"], b"\r\nconnection: close\r\n" in said.lower()) == ("REQUEST_TIMEOUT", True)
    assert asyncio.get_running_loop().time() - started < connection.LINGER_SECONDS + 3


async def test_body_when_nobody_reads_it_then_answered_and_no_task_is_left(address: str, web: Any) -> None:
    before = len(asyncio.all_tasks())
    said = await web.say(
        address, head_of("GET", "/nowhere", "Connection: close", "Content-Length: 5000000") + b"x" * 5_000_000
    )
    assert document(said)[0] == 404
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) <= before


async def test_body_when_the_sink_is_slow_then_the_sender_waits_and_memory_is_bounded(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head_of("POST", "/sink", "Content-Length: 500000000"))
    before, sent = memory(), 0
    try:
        async with asyncio.timeout(0.5):
            while sent < 500_000_000:
                writer.write(CHUNK)
                await writer.drain()
                sent += len(CHUNK)
    except (TimeoutError, ConnectionError):
        pass
    assert sent < 40_000_000, "the server took the body faster than it was read"
    assert memory() - before < 30_000_000
    writer.transport.abort()


def memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_download_when_the_reader_is_slow_then_the_sender_waits(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head_of("GET", "/endless"))
    await reader.read(1000)
    await asyncio.sleep(0.3)
    assert 0 < happened["sent"] < 30_000_000
    writer.transport.abort()
    for _ in range(100):
        if happened.get("closed"):
            break
        await asyncio.sleep(0.02)
    assert happened["closed"]


async def test_events_when_none_has_come_then_headers_are_there_and_leaving_ends_them(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head_of("GET", "/events"))
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert b"text/event-stream" in head
    writer.transport.abort()
    for _ in range(100):
        if happened.get("closed"):
            break
        await asyncio.sleep(0.02)
    assert happened["closed"]


async def test_handler_when_its_client_leaves_then_cancelled(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    host, port = address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head_of("POST", "/slow"))
    await asyncio.sleep(0.2)
    writer.transport.abort()
    for _ in range(100):
        if happened.get("cancelled"):
            break
        await asyncio.sleep(0.02)
    assert happened["cancelled"]


async def test_stream_when_it_fails_before_its_first_piece_then_an_error_document(address: str) -> None:
    async with httpx.AsyncClient(base_url=address) as client:
        answer = await client.get("/api/v1/lost")
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "The file is gone.")
        assert (await client.get("/api/v1/empty")).content == b""
        assert (await client.head("/api/v1/endless")).status_code == 200


async def test_websocket_when_tried_then_refused_with_the_same_document(address: str, web: Any) -> None:
    said = await web.say(
        address,
        head_of(
            "GET",
            "/names",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ),
    )
    assert re.match(rb"HTTP/1.1 404", said)
    assert b'"code":"NOT_FOUND"' in said


async def test_request_when_answered_directly_then_two_messages_and_no_task(web: Any) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    before = len(asyncio.all_tasks())
    receive = web.Messages()
    app = web.app(routes)
    await app(web.request("GET", "/api/v1/names").scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (receive.taken, len(asyncio.all_tasks())) == (0, before)


async def test_stream_when_the_server_never_suspends_then_leaving_is_still_seen(web: Any) -> None:
    async def send(message: Any) -> None:
        """As a server does once its client has gone."""

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    await web.app(routes)(web.request("GET", "/api/v1/many").scope, receive, send)
    assert happened["pieces"] < 99_999
