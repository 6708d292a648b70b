"""What the pipeline makes of an answer that breaks off after its head was sent."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from host.web.server.headers import HeaderRules
from host.web.server.pipeline import Message, Pipeline, Receive, Scope, Send
from host.web.server.request_state import KEY


async def _broken(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a part", "more_body": True})
    raise RuntimeError("the rest cannot be read")


async def _never(*_: Any) -> Any:
    raise AssertionError("nobody reads the request")


async def _status(send: Send, expected: type[Exception]) -> int:
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("127.0.0.1", 1)}
    pipeline = Pipeline(_broken, HeaderRules(), nullcontext, 0)
    with pytest.raises(expected):
        await pipeline(scope, _never, send)
    return int(scope[KEY].status)


async def test_answer_when_it_breaks_off_then_counts_as_failed_whatever_its_head_said() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    assert await _status(send, RuntimeError) == 500
    assert sent[0]["status"] == 200


async def test_answer_when_the_client_left_then_its_status_stays() -> None:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise BrokenPipeError

    assert await _status(send, BrokenPipeError) == 200
