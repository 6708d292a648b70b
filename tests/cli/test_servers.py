"""The servers: the event loop that the settings ask for."""

from __future__ import annotations

import asyncio
import sys

import pytest

from host.cli import servers
from host.settings.sections import ServerSettings, Settings


@pytest.mark.parametrize(
    ("uvloop", "platform", "module"),
    [(True, "linux", "uvloop"), (False, "linux", "asyncio.unix_events"), (True, "win32", "asyncio.unix_events")],
)
def test_run_when_asked_for_a_loop_then_work_runs_on_it(
    monkeypatch: pytest.MonkeyPatch, uvloop: bool, platform: str, module: str
) -> None:
    loops: list[str] = []

    async def work() -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)

    monkeypatch.setattr(sys, "platform", platform)
    servers.run(work(), Settings(server=ServerSettings(uvloop=uvloop)))
    assert loops == [module]
