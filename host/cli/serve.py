"""`tenantry serve`: migrate the database, print the first sign-in, and serve HTTP until SIGTERM."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import click

from host.app import Application
from host.cli import first_start, servers
from host.cli.command import command, config_path
from host.cli.open_application import at_keyboard, read_settings
from host.cli.terminal import Complaint, Terminal
from host.execution_context import acting
from host.log import logger
from host.settings import Settings

OPTIONS = {"host": "SERVER__HOST", "port": "SERVER__PORT", "workers": "SERVER__WORKERS", "server": "SERVER__SERVER"}
_log = logger("host.serve")


@click.command()
@click.option("--host", help="The address to listen on; server.host otherwise.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; server.port otherwise, 0 takes a free one.")
@click.option("--workers", type=click.IntRange(min=1), help="Web processes; server.workers otherwise.")
@click.option("--server", type=click.Choice(["hypercorn", "uvicorn", "granian"]), help="server.server otherwise.")
@click.option(
    "--jobs/--no-jobs", default=None, help="Whether the web process runs jobs as well; server.run_jobs otherwise."
)
@click.option("--strict", is_flag=True, help="A plugin that fails at the start stops it.")
@click.option("--migrate/--no-migrate", default=True, help="Whether the tables are brought up to date first.")
@command
def serve(terminal: Terminal, jobs: bool | None, strict: bool, migrate: bool, **options: str | int | None) -> None:
    """Start the web server; on a fresh machine the embedded database, Redis and storage as well."""
    _hand_down(jobs, strict, options)
    settings = _with_port(read_settings(quiet=False))
    _free(settings)
    server = servers.chosen(settings)
    with _kept_open(settings):
        asyncio.run(_prepare(terminal, settings, migrate))
        server(settings)


def _hand_down(jobs: bool | None, strict: bool, options: dict[str, str | int | None]) -> None:
    """Put the options into the environment, from which worker processes read their settings."""
    os.environ["TENANTRY_CONFIG"] = str(config_path())
    for name, value in options.items():
        if value is not None:
            os.environ[f"TENANTRY_{OPTIONS[name]}"] = str(value)
    if jobs is not None:
        os.environ["TENANTRY_SERVER__RUN_JOBS"] = str(jobs).lower()
    if strict:
        os.environ["TENANTRY_APP__STRICT"] = "true"


def _with_port(settings: Settings) -> Settings:
    """The settings with a free port in place of 0."""
    if settings.server.port:
        return settings
    with socket.create_server((settings.server.host, 0)) as probe:
        os.environ["TENANTRY_SERVER__PORT"] = str(probe.getsockname()[1])
    return read_settings(quiet=False)


def _free(settings: Settings) -> None:
    """Refuse an address that cannot be listened on, with the remedy, before anything is started."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Complaint(
                f"port {port} on {host} is in use, perhaps by another `tenantry serve`",
                f"stop that one (`lsof -i :{port}` shows it), or take another: `tenantry serve --port {port + 1}`",
                code="PORT_IN_USE",
            ) from error
        if error.errno == errno.EACCES:
            fix = "ports below 1024 are for root: take --port 8000 and put a proxy in front"
            raise Complaint(f"port {port} may not be used by this login", fix, code="PORT_DENIED") from error
        fix = "name an address of this machine with --host, or 0.0.0.0 for all of them"
        raise Complaint(f"cannot listen on {host}: {error.strerror or error}", fix, code="ADDRESS") from error


@contextmanager
def _kept_open(settings: Settings) -> Iterator[None]:
    """The embedded Redis stays up between the preparation and the server, instead of being started twice."""
    if settings.redis.url:
        yield
        return
    from host.cache.embedded import EmbeddedRedis

    redis = EmbeddedRedis(settings.data.dir / "redis")
    asyncio.run(_started(redis.start()))
    try:
        yield
    finally:
        asyncio.run(_started(redis.stop()))


async def _started(waited: object) -> None:
    await waited  # type: ignore[misc]


async def _prepare(terminal: Terminal, settings: Settings, migrate: bool) -> None:
    if migrate:
        terminal.say(f"Preparing {settings.data.dir}: services, tables, plugins …")
    with terminal.progress("preparing"):
        async with Application.open(settings, migrate=migrate) as application:
            application.check_production()
            for sentence in [] if settings.app.production else await application.migrations.unmade():
                terminal.say(sentence, "yellow")
            with acting(at_keyboard()):
                greeting = await first_start.greeting(application)
    if terminal.as_json:
        terminal.done({"address": settings.public_url, **greeting.facts})
    else:
        for line in greeting.lines:
            terminal.out.print(line, markup=False)
