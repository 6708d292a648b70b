"""Support for tests of host.web: requests without a server, and a real Hypercorn on a free port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from host.contracts import Route
from host.web.handlers.binding import compile
from host.web.responses.reply import Reply
from host.web.responses.serialization import shape
from host.web.server.application import TenantryQuart, build_quart
from host.web.server.request import TenantryRequest


class Messages:
    """A `receive` that gives these pieces of a body, then waits for ever, as a server does."""

    def __init__(self, *pieces: bytes, complete: bool = True, gone: bool = False) -> None:
        self.taken = 0
        self._messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        if gone:
            self._messages.append({"type": "http.disconnect"})
        elif complete:
            self._messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def __call__(self) -> Mapping[str, Any]:
        if not self._messages:
            await asyncio.Event().wait()
        self.taken += 1
        return self._messages.pop(0)


def scope_of(method: str, path: str, query: str = "", headers: Any = None, http_version: str = "1.1") -> dict[str, Any]:
    pairs = headers.items() if isinstance(headers, dict) else (headers or [])
    return {
        "type": "http",
        "http_version": http_version,
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in pairs],
        "client": ("192.0.2.7", 5000),
        "server": ("127.0.0.1", 80),
        "extensions": {},
        "asgi": {"version": "3.0"},
    }


class Web:
    """Requests and checks that tests of host.web share."""

    Messages = Messages

    @staticmethod
    def request(
        method: str = "GET",
        path: str = "/",
        *,
        query: str = "",
        headers: Any = None,
        body: bytes | None = None,
        json: Any = None,
        receive: Messages | None = None,
        max_body: int | None = 1024 * 1024,
        body_timeout: float = 5.0,
        min_body_rate: int = 0,
        http_version: str = "1.1",
    ) -> TenantryRequest:
        sent = dict(headers or {})
        if json is not None:
            body = orjson.dumps(json)
            sent.setdefault("content-type", "application/json")
        if body is not None:
            sent.setdefault("content-length", str(len(body)))
        scope = scope_of(method, path, query, sent, http_version)
        pieces = receive or Messages(*([body] if body else []))
        return TenantryRequest(scope, pieces, max_body=max_body, body_timeout=body_timeout, min_body_rate=min_body_rate)

    @staticmethod
    async def call(route: Route, request: TenantryRequest, **params: Any) -> Any:
        """What the route's handler returns for a request."""
        return await compile(route)(request, params)

    @staticmethod
    def app(routes: Any, *, max_body: int = 1024 * 1024, body_timeout: float = 5.0, pages: Any = None) -> TenantryQuart:
        """The application with nothing between routing and handlers."""
        pairs = [("things", route) for route in routes]
        binders = {id(route): compile(route) for _, route in pairs}

        async def caller(route: Route, plugin: str, request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
            result = await binders[id(route)](request, params)
            return shape(result, request.raw_headers, route, request.query_string, request.method)

        return build_quart(pairs, caller, max_body=max_body, body_timeout=body_timeout, pages=pages)

    @staticmethod
    def told(reply: Reply) -> Any:
        """A reply's JSON."""
        assert isinstance(reply.body, bytes)
        return orjson.loads(reply.body)

    @staticmethod
    def header(reply: Reply, name: bytes) -> bytes | None:
        values = [value for key, value in reply.headers if key == name]
        assert len(values) <= 1, f"{name!r} more than once"
        return values[0] if values else None

    @staticmethod
    @asynccontextmanager
    async def served(app: Any, **config: Any) -> AsyncIterator[str]:
        """The address of a real Hypercorn that serves `app`."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = Config.from_mapping(bind=[f"127.0.0.1:{port}"], graceful_timeout=0.1, errorlog=None, **config)
        stop = asyncio.Event()
        running = asyncio.create_task(serve(app, settings, shutdown_trigger=stop.wait))
        try:
            for _ in range(200):
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
            yield f"http://127.0.0.1:{port}"
        finally:
            stop.set()
            await asyncio.wait_for(running, 10)

    @staticmethod
    async def say(address: str, text: bytes) -> bytes:
        """Send bytes as they are to a server; everything it says until it closes."""
        host, port = address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(text)
        await writer.drain()
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


@pytest.fixture
def web() -> Web:
    return Web()
