from __future__ import annotations

import asyncio

import pytest

from host.errors import Unavailable
from host.web.server.deadline import HandlerDeadline


async def test_handler_when_it_takes_too_long_then_cancelled_and_said() -> None:
    with pytest.raises(Unavailable, match=r"longer than 0\.05 seconds and was cancelled"):
        async with HandlerDeadline(0.05):
            await asyncio.sleep(5)


async def test_handler_when_it_raises_a_time_out_of_its_own_then_that_one_is_passed_on() -> None:
    with pytest.raises(TimeoutError, match="mine"):
        async with HandlerDeadline(5):
            raise TimeoutError("mine")


async def test_handler_when_cancelled_from_outside_then_no_time_out() -> None:
    async def handle() -> None:
        async with HandlerDeadline(5) as deadline:
            await deadline.paused(asyncio.sleep(5))

    task = asyncio.create_task(handle())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_clock_when_a_wait_is_over_then_it_starts_anew() -> None:
    async with HandlerDeadline(0.2) as deadline:
        for _ in range(4):
            await deadline.paused(asyncio.sleep(0.25))
            await asyncio.sleep(0.1)
    with pytest.raises(Unavailable):
        async with HandlerDeadline(0.05) as deadline:
            await deadline.paused(asyncio.sleep(0.1))
            await asyncio.sleep(5)
