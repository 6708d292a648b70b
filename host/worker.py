"""Entry point for the job worker: runs jobs until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

from host.app import Application, freeze
from host.log import configure, logger
from host.loop_watch import watch_loop
from host.settings import Settings

_log = logger("host.worker")


async def run(settings: Settings) -> None:
    """Run jobs until SIGTERM or SIGINT; what is running is given time to finish, the rest is taken up elsewhere."""
    configure(settings.log.level, settings.log.format)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    async with Application.open(settings, jobs=True) as application:
        freeze()
        async with watch_loop(application.packages):
            _log.info("worker ready")
            await stop.wait()
        _log.info("worker stopping")
