"""A step that repeats: when it is called, what of it is logged, and how it ends."""

from __future__ import annotations

import asyncio
import logging

import pytest

from host.errors import Unavailable
from host.periodic import Periodic

LOG = logging.getLogger("tests.periodic")


class Step:
    """Counts its calls, and raises what is in `raises` for them, in order."""

    def __init__(self, *raises: Exception) -> None:
        self.calls, self.raises = 0, list(raises)
        self.three = asyncio.Event()

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls == 3:
            self.three.set()
        if self.raises:
            raise self.raises.pop(0)


async def test_periodic_when_a_call_raises_then_logged_and_the_next_one_made(caplog: pytest.LogCaptureFixture) -> None:
    step = Step(Unavailable("no Redis"), ValueError("broken"))
    periodic = Periodic(step, 0.001, LOG, "it is late", spread=0.25)
    with caplog.at_level(logging.DEBUG, "tests.periodic"):
        periodic.start()
        await asyncio.wait_for(step.three.wait(), 5)
        await periodic.stop()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("DEBUG", "it is late: no Redis"),
        ("ERROR", "it is late"),
    ]


async def test_periodic_when_not_at_once_then_first_called_after_a_pause_and_never_after_its_stop() -> None:
    step = Step()
    periodic = Periodic(step, 0.05, LOG, "it is late", at_once=False)
    periodic.start()
    await asyncio.sleep(0)
    assert step.calls == 0
    assert await periodic.stop()
    assert not await periodic.stop()
    await asyncio.sleep(0.1)
    assert step.calls == 0
