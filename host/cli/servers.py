"""Start the web server that the settings name: Hypercorn, Uvicorn or Granian."""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from host.cli.terminal import Complaint
from host.settings import Settings

_log = logging.getLogger("host.web")

APP = "host.asgi:app"

PING_EVERY = 20.0
"""Seconds between two pings on a WebSocket, so that proxies keep it open; Granian sends none."""

Server = Callable[[Settings], None]


def chosen(settings: Settings) -> Server:
    """The server that the settings name.

    Raises:
        Complaint: it is not installed.
    """
    name = settings.server.server
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise Complaint(
            f"the server {name} is not installed", f"pip install 'tenantry[{name}]'", code="MISSING"
        ) from error
    return {"hypercorn": hypercorn, "uvicorn": uvicorn, "granian": granian}[name]


def hypercorn(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests that run may finish within server.request_timeout."""
    from hypercorn import run as processes
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [_address(settings)]
    config.application_path = APP
    config.workers = settings.server.workers
    config.graceful_timeout = settings.server.request_timeout
    config.shutdown_timeout = settings.server.request_timeout
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.websocket_max_message_size = settings.server.max_body
    config.websocket_ping_interval = PING_EVERY
    config.worker_class = loop(settings)
    if settings.server.workers > 1:
        with _signals() as received:
            code = processes.run(config)
        if not received & {signal.SIGTERM, signal.SIGINT}:  # Hypercorn ends with 0 then, as if it had been asked to
            _log.error("a web process ended by itself or was killed (out of memory?), so all stopped: start it again")
            code = 1
        raise SystemExit(code)
    from host.asgi import app

    async def serving() -> None:
        stop = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        await serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]

    run(serving(), settings)


def loop(settings: Settings) -> Literal["uvloop", "asyncio"]:
    """The event loop that the settings ask for, where this system has it."""
    return "uvloop" if settings.server.uvloop and sys.platform != "win32" else "asyncio"


def run(work: Coroutine[object, object, None], settings: Settings) -> None:
    """Run a process's work to its end on the event loop that the settings ask for."""
    factory = importlib.import_module("uvloop").new_event_loop if loop(settings) == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


@contextmanager
def _signals() -> Iterator[set[int]]:
    """Which signals this process got in the block, whoever handled them; known when it ends."""
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.setblocking(False)
        writing.setblocking(False)
        before = signal.set_wakeup_fd(writing.fileno())
        seen: set[int] = set()
        try:
            yield seen
        finally:
            signal.set_wakeup_fd(before)
            with suppress(BlockingIOError):
                seen.update(reading.recv(4096))


def uvicorn(settings: Settings) -> None:
    """The same on Uvicorn."""
    server = importlib.import_module("uvicorn")
    server.run(
        APP,
        host=settings.server.host,
        port=settings.server.port,
        workers=settings.server.workers,
        loop=loop(settings),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the pipeline decides which proxies are believed
        ws_max_size=settings.server.max_body,
        ws_ping_interval=PING_EVERY,
        timeout_graceful_shutdown=int(settings.server.request_timeout),
    )


def granian(settings: Settings) -> None:
    """The same on Granian."""
    server = importlib.import_module("granian")
    server.Granian(
        APP,
        address=settings.server.host,
        port=settings.server.port,
        interface="asgi",
        loop=loop(settings),
        workers=settings.server.workers,
        workers_kill_timeout=int(settings.server.request_timeout),
        log_enabled=False,
    ).serve()


def _address(settings: Settings) -> str:
    host = settings.server.host
    return f"[{host}]:{settings.server.port}" if ":" in host else f"{host}:{settings.server.port}"
