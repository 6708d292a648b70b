"""Run background jobs in a process of its own until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal

from host.app import Application, freeze
from host.log import configure, logger
from host.loop_watch import watch_loop
from host.metrics import process_files
from host.metrics.exporter import exporting
from host.settings import Settings

_log = logger("host.worker")


async def run(settings: Settings) -> None:
    """Run jobs until SIGTERM or SIGINT; running jobs get time to finish, another worker takes up the rest."""
    configure(settings.log.level, settings.log.format)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    with process_files.shared(settings.data.dir):
        await _run_until(stop, settings)


async def _run_until(stop: asyncio.Event, settings: Settings) -> None:
    async with Application.open(settings, jobs=True) as application:
        freeze()
        exported = exporting(application.services.metering, settings.server.host, settings.jobs.metrics_port)
        async with watch_loop(application.packages):
            with exported:
                _log.info("worker ready")
                await stop.wait()
        _log.info("worker stopping")
