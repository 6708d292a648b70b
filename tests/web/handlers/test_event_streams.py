from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from host.contracts import LiveMessage
from host.errors import NotFound
from host.web.handlers import event_streams
from host.web.handlers.event_streams import EventStream

log: list[str] = []


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    log.clear()


async def numbers(until: int = 10**9, *, pause: float = 0.0) -> AsyncIterator[LiveMessage]:
    try:
        for number in range(until):
            yield LiveMessage("n", number, str(number))
            log.append(f"{number} taken")
            await asyncio.sleep(pause)
    finally:
        log.append("closed")


async def silent() -> AsyncIterator[LiveMessage]:
    try:
        await asyncio.sleep(60)
        yield LiveMessage("n", 1)
    finally:
        log.append("closed")


async def failing() -> AsyncIterator[LiveMessage]:
    raise NotFound
    yield LiveMessage("n", 1)


async def text_of(stream: EventStream) -> str:
    return b"".join([piece async for piece in stream]).decode()


async def test_stream_when_the_source_ends_then_all_of_it_is_sent_before_the_end() -> None:
    stream = EventStream(numbers(200), 2.0)
    await stream.begin()
    text = await text_of(stream)
    await stream.aclose()
    assert [line for line in text.splitlines() if line.startswith("id")] == [f"id: {n}" for n in range(200)]
    assert log[-1] == "closed"


async def test_stream_when_the_source_refuses_at_once_then_its_error() -> None:
    stream = EventStream(failing(), 2.0)
    with pytest.raises(NotFound):
        await stream.begin()
    await stream.aclose()


async def test_stream_when_quiet_then_begins_all_the_same_and_a_heartbeat_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_EVERY", 0.05)
    stream = EventStream(silent(), 2.0)
    await stream.begin()
    assert b"retry" in await anext(stream)
    assert [await anext(stream), await anext(stream)] == [b":\n\n", b":\n\n"]
    await stream.aclose()
    assert log == ["closed"]


async def test_stream_when_nobody_reads_then_the_source_waits() -> None:
    stream = EventStream(numbers(), 2.0)
    await stream.begin()
    await asyncio.sleep(0.1)
    assert len(log) < 70
    await stream.aclose()
    assert log[-1] == "closed"


async def test_stream_when_ended_then_nothing_that_waited_is_sent() -> None:
    stream = EventStream(numbers(pause=0.001), 2.0)
    await stream.begin()
    await anext(stream)
    await asyncio.sleep(0.05)
    stream.end()
    assert [piece async for piece in stream] == []
    await stream.aclose()
    assert log[-1] == "closed"


async def test_stream_when_ended_and_the_client_does_not_read_then_its_task_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_streams, "_LEAVE_WITHIN", 0.05)
    stream = EventStream(numbers(pause=0.001), 2.0)

    async def send_to_a_client_that_does_not_read() -> None:
        async for _ in stream:
            await asyncio.sleep(60)

    await stream.begin()
    sending = asyncio.create_task(send_to_a_client_that_does_not_read())
    await asyncio.sleep(0.02)
    stream.end()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(sending, 1)
    assert sending.cancelled()
    await stream.aclose()


async def test_stream_when_closed_before_it_is_read_then_its_blocks_are_left() -> None:
    @asynccontextmanager
    async def block() -> AsyncIterator[None]:
        yield
        log.append("left")

    stream = EventStream(silent(), 2.0)
    await stream.enter(block())
    await stream.begin()
    await stream.aclose()
    assert log == ["closed", "left"]


async def test_stream_when_the_source_breaks_later_then_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> AsyncIterator[LiveMessage]:
        yield LiveMessage("n", 1)
        await asyncio.sleep(0.01)
        raise RuntimeError("hunter2")

    stream = EventStream(broken(), 2.0)
    await stream.begin()
    opening = await anext(stream)
    text = opening.decode() + await text_of(stream)
    await stream.aclose()
    assert "hunter2" not in text
    assert "breaks off" in caplog.text
