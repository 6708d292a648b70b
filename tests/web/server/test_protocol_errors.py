from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import hypercorn.protocol
import pytest

from host.web.routes import Routes
from host.web.server.protocol_errors import install_protocol_errors

routes = Routes()


@routes.get("/ping", name="ping", summary="Ping", public=True)
async def ping() -> str:
    return "pong"


@pytest.fixture
async def address(web: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", hypercorn.protocol.H11Protocol)
    install_protocol_errors()
    async with web.served(web.app(routes)) as served:
        yield served


PING = b"GET /api/v1/ping HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"this is not http\r\n\r\n", 400),
        (PING + b"\r\n", 400),  # no Host
        (PING + b"Host: a\r\nHost: b\r\n\r\n", 400),
        (PING + b"Host: a\r\nx y: z\r\n\r\n", 400),
        (PING + b"Host: a\r\nContent-Length: -1\r\n\r\n", 400),
        (PING + b"Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (PING + b"Host: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (PING + b"Host: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431),
    ],
)
async def test_request_when_the_server_refuses_it_then_told_as_everything_else(
    web: Any, address: str, text: bytes, status: int
) -> None:
    said = await web.say(address, text)
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status)
    error = json.loads(body)["error"]
    assert (error["code"], error["status"]) == ("BAD_REQUEST", status)
    assert f"x-request-id: {error['request_id']}".encode() in head.lower()


async def test_request_when_right_then_answered_as_before(web: Any, address: str) -> None:
    said = await web.say(address, PING + b"Host: a\r\nConnection: close\r\n\r\n")
    assert said.endswith(b'{"success":true,"data":"pong"}')
