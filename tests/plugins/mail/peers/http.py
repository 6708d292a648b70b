"""What the local servers of the HTTP providers share: a server on a port of its own, and complaints kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .taken import Mood, Taken


@dataclass
class HttpPeer:
    """What it does, and what it took. `wrong` holds what a request had that the documentation does not know."""

    endpoint: str = ""
    mood: Mood = "well"
    taken: list[Taken] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    requests: int = 0
    answer: web.Response | None = None  # instead of any other

    def expect(self, right: bool, what: str) -> None:
        """Keep a complaint."""
        if not right:
            self.wrong.append(what)


def fields_of(document: Any, where: str, peer: HttpPeer, known: dict[str, type | tuple[type, ...]]) -> None:
    """Complain about fields that are unknown or of the wrong type."""
    peer.expect(isinstance(document, dict), f"{where} is no object")
    for name, value in document.items():
        peer.expect(name in known, f"{where}.{name} is unknown")
        peer.expect(isinstance(value, known.get(name, object)), f"{where}.{name} is of the wrong type")


@asynccontextmanager
async def serving(peer: HttpPeer, routes: list[web.RouteDef]) -> AsyncIterator[None]:
    """Serve on a port of its own for the block."""
    app = web.Application(client_max_size=64 * 2**20)
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    peer.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield
    finally:
        await runner.cleanup()
