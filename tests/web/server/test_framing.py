"""What two readers could understand differently is refused, and its connection closed; over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import hypercorn.protocol
import pytest

from host.web.handlers.binding import RequestFacts
from host.web.routes import Routes
from host.web.server.protocol_errors import install_protocol_errors

routes = Routes()


@routes.get("/ping", name="ping", summary="Ping", public=True)
async def ping() -> str:
    return "pong"


@routes.post("/echo", name="echo", summary="Echo", public=True)
async def echo(request: RequestFacts) -> str:
    return (await request.read()).decode()


@pytest.fixture
async def hypercorn_address(web: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", hypercorn.protocol.H11Protocol)
    install_protocol_errors()
    async with web.served(web.app(routes)) as served:
        yield served


@pytest.fixture
async def uvicorn_address(web: Any) -> AsyncIterator[str]:
    uvicorn = pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(web.app(routes), lifespan="off", log_config=None))
        running = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await running


GET = b"GET /api/v1/ping HTTP/1.1\r\n"
POST = b"POST /api/v1/echo HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
NEXT = GET + b"Host: a\r\nConnection: close\r\n\r\n"

EVERYWHERE = {
    "length and coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked" + CHUNKED,
    "coding and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 0" + CHUNKED,
    "coding in HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked" + CHUNKED,
    "chunked not last": POST + b"Transfer-Encoding: chunked, gzip" + CHUNKED,
    "another coding before": POST + b"Transfer-Encoding: gzip, chunked" + CHUNKED,
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "length with a sign": POST + b"Content-Length: +3\r\n\r\nabc",
    "small letters": b"get /api/v1/ping HTTP/1.1\r\nHost: a\r\n\r\n",
    "mixed letters": b"Post /api/v1/echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "no host": GET + b"\r\n",
    "two hosts": GET + b"Host: a\r\nHost: b\r\n\r\n",
    "one host twice": GET + b"Host: a\r\nHost: a\r\n\r\n",
    "host with a path": GET + b"Host: a/b\r\n\r\n",
    "host with a person": GET + b"Host: a@b\r\n\r\n",
    "target of another host": b"GET http://b/api/v1/ping HTTP/1.1\r\nHost: a\r\n\r\n",
    "target of another kind": b"GET ftp://a/api/v1/ping HTTP/1.1\r\nHost: a\r\n\r\n",
    "blank before the colon": GET + b"Host: a\r\nX : y\r\n\r\n",
    "CR within a line": GET + b"Host: a\r\nX: y\rZ: 1\r\n\r\n",
    "NUL": GET + b"Host: a\r\nX: y\0z\r\n\r\n",
    "chunk of another length": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "chunk line ended by LF": POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    "two contents' types": POST + b"Content-Type: a/b\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabc",
    "two authorizations": GET + b"Host: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
}
HYPERCORN = EVERYWHERE | {
    "folded line": GET + b"Host: a\r\nX: y\r\n z\r\n\r\n",
    "LF alone": GET + b"Host: a\nX: y\r\n\r\n",
    "LF alone at the end": GET + b"Host: a\n\n",
    "one length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "one length as a list": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "version that is none": GET.replace(b"1.1", b"2.0") + b"Host: a\r\n\r\n",
}


def answers(said: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", said)]


@pytest.mark.parametrize("text", HYPERCORN.values(), ids=HYPERCORN)
async def test_request_when_it_can_be_read_in_two_ways_then_refused_in_words_and_closed(
    web: Any, hypercorn_address: str, text: bytes
) -> None:
    said = await web.say(hypercorn_address, text + NEXT)
    assert answers(said) == [400], "and what came behind it is not answered"
    head, _, body = said.partition(b"\r\n\r\n")
    assert json.loads(body)["error"]["code"] == "BAD_REQUEST"
    assert b"\r\nconnection: close" in head.lower()


@pytest.mark.parametrize("text", EVERYWHERE.values(), ids=EVERYWHERE)
async def test_request_when_uvicorn_reads_it_then_refused_and_closed_too(
    web: Any, uvicorn_address: str, text: bytes
) -> None:
    assert answers(await web.say(uvicorn_address, text + NEXT)) == [400]


async def test_chunk_when_its_extension_has_no_end_then_refused(web: Any, hypercorn_address: str) -> None:
    said = await web.say(hypercorn_address, POST + b"Transfer-Encoding: chunked\r\n\r\n3;" + b"x" * 100_000)
    assert answers(said) == [431]


@pytest.mark.parametrize("connection", [b"Upgrade, HTTP2-Settings", b"Upgrade", b"keep-alive"])
async def test_upgrade_when_to_http2_then_answered_in_http1(
    web: Any, hypercorn_address: str, connection: bytes
) -> None:
    asked = b"Host: a\r\nConnection: %s\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    assert answers(await web.say(hypercorn_address, GET + asked % connection + NEXT)) == [200, 200]


async def test_request_when_its_head_comes_in_pieces_or_its_target_is_whole_then_answered(
    web: Any, hypercorn_address: str
) -> None:
    host, port = hypercorn_address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in (b"GET http://A/api/v1/ping HTTP/1.1\r", b"\nHost: a\r\nX: y\r", b"\n\r", b"\n" + NEXT):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)
    assert answers(await asyncio.wait_for(reader.read(), 10)) == [200, 200]
    writer.close()
