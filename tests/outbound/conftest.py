"""A server on 127.0.0.1, which plays the public internet, and a resolver with names of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import pytest

from host.outbound.client import PublicClient
from host.outbound.errors import OutboundError

HOME = (ip_network("127.0.0.1/32"),)  # 127.0.0.2 stays inside
Handler = Callable[["Peer", asyncio.StreamWriter, str], Awaitable[None]]


class Peer:
    """A server on 127.0.0.1 that answers as `handler` says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.connections = 0
        self.port = 0
        self.handler: Handler = answer_ok
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                self.asked.append(head)
                await self.handler(self, writer, head.split(" ", 2)[1])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def end(self, server: asyncio.Server) -> None:
        """Close everything, and wait for it."""
        server.close()
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)
        await server.wait_closed()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join((*lines, "", "")).encode() + body


async def answer_ok(peer: Peer, writer: asyncio.StreamWriter, path: str) -> None:
    writer.write(reply("200 OK", b"hello", "Set-Cookie: who=you"))


def answering(*parts: bytes, pause: float = 0.0) -> Handler:
    async def handler(peer: Peer, writer: asyncio.StreamWriter, path: str) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return handler


def redirecting(to: str) -> Handler:
    return answering(reply("302 Found", b"", f"Location: {to}"))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    yield peer
    await peer.end(server)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Names and the addresses that they have, one list per question; the last one stays."""
    names: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host not in names:
            return real(host, port, *rest, **more)
        answers = names[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for address in addresses for entry in real(address, port, *rest, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


async def refused(url: str, **options: Any) -> OutboundError:
    async with PublicClient(**{"inner_networks": HOME, "seconds": 5.0} | options) as client:
        with pytest.raises(OutboundError) as caught:
            await client.get(url)
    return caught.value
