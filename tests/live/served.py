"""A deployment with the board example, served by processes of their own, and a reader of server-sent events."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from host.registry import deployment as plugins_file

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0


@dataclass(frozen=True)
class Event:
    id: str
    event: str
    data: Any


def prepare(folder: Path, example: str = "board") -> None:
    """Write a deployment of the bundled plugins and one example into a folder."""
    for name in ("config", "plugins"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "examples" / example, folder / "plugins" / example)
    shutil.copy(ROOT / "plugins.toml", folder / "plugins.toml")
    plugins_file.enable(folder / "plugins.toml", example, default="on")


def environment_of(folder: Path, database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "TENANTRY_DATA__DIR": str(folder / "data"),
        "TENANTRY_RATES__PUBLIC": "100000/minute",
        "TENANTRY_RATES__AUTHENTICATED": "100000/minute",
        "TENANTRY_RATES__OPEN_STREAMS": "60",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }


@dataclass
class Served:
    """One `tenantry serve`."""

    address: str
    process: subprocess.Popen[bytes]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@asynccontextmanager
async def served(folder: Path, environment: dict[str, str], server: str = "hypercorn") -> AsyncIterator[Served]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    path = os.pathsep.join((str(folder), str(ROOT)))
    command = ["-c", "from host.cli import main; main()", "serve", "--no-migrate", "--no-jobs"]
    log = folder / f"{port}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [sys.executable, *command, "--port", str(port), "--server", server],
            cwd=folder,
            env={**kept, **environment, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    one = Served(f"http://127.0.0.1:{port}", process)
    try:
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient() as client:
            while True:
                assert process.poll() is None, log.read_text("utf-8")
                try:
                    await client.get(f"{one.address}/api/v1/health")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield one
    finally:
        if process.poll() is None:
            one.stop()


@asynccontextmanager
async def following(address: str, headers: dict[str, str], board: str, after: str = "") -> AsyncIterator[Any]:
    """The events of a board, as an asynchronous generator that ends with the stream."""
    sent = {**headers, "accept": "text/event-stream", **({"last-event-id": after} if after else {})}
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", f"{address}/api/v1/board/{board}/events", headers=sent) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield events_of(answer)


async def events_of(answer: httpx.Response) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, colon, value = line.partition(": ")
        if not line and "data" in fields:
            yield Event(fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"]))
            fields = {}
        elif colon and name:
            fields[name] = value
