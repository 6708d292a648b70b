"""`tenantry worker`: run background jobs in a process of its own."""

from __future__ import annotations

import click

from host import worker as worker_process
from host.cli import servers
from host.cli.command import command
from host.cli.open_application import read_settings
from host.cli.terminal import Terminal


@click.command()
@click.option("--concurrency", type=click.IntRange(min=1), help="Jobs at once; jobs.concurrency otherwise.")
@command
def worker(terminal: Terminal, concurrency: int | None) -> None:
    """Run background jobs until SIGTERM; what runs is finished first."""
    settings = read_settings(quiet=False)
    if concurrency:
        settings = settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"concurrency": concurrency})})
    servers.run(worker_process.run(settings), settings)
    terminal.done({"stopped": True})
