"""A plugin that blocks the event loop is named, with the line it stands at."""

from __future__ import annotations

import asyncio
import logging

import pytest

from host.loop_watch import watch_loop

SLOW = """
import time


def block(seconds):
    time.sleep(seconds)
"""


async def test_loop_when_a_plugin_blocks_it_then_warns_once_and_names_plugin_and_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    module: dict[str, object] = {"__name__": "plugins.letters.service"}
    exec(compile(SLOW, "plugins/letters/service.py", "exec"), module)
    with caplog.at_level(logging.WARNING):
        async with watch_loop({"plugins.letters": "letters"}, longest=0.2):
            await asyncio.sleep(0.15)
            module["block"](0.7)  # type: ignore[operator]
            await asyncio.sleep(0.15)
    warnings = [record.getMessage() for record in caplog.records if "blocked the event loop" in record.getMessage()]
    assert len(warnings) == 1
    assert "plugin letters has blocked" in warnings[0]
    assert "plugins/letters/service.py:6" in warnings[0]


async def test_loop_when_it_turns_then_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with watch_loop({}, longest=2.0):
        await asyncio.sleep(0.3)
    assert "blocked" not in caplog.text
