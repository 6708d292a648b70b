"""HTTP load generator: N keep-alive connections that send prepared requests as fast as they are answered.

Run as its own process: reads one JSON object from standard input, `{"port", "connections", "seconds", "requests"}`
with whole HTTP requests as text, and prints `{"answers", "wrong", "seconds", "p50", "p99"}`, times in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle


class Client(asyncio.Protocol):
    """One keep-alive connection: sends the next request when the last one is answered."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.port = port
        self.requests = requests
        self.times: list[float] = []
        self.wrong: list[str] = []
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._sent = 0.0
        self._ending = False
        self._again: asyncio.Task[object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        _, _, after = head.lower().partition(b"content-length:")
        if len(body) < int(after.partition(b"\r\n")[0]):
            return
        self.times.append(time.perf_counter() - self._sent)
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            self.wrong.append((head.partition(b"\r\n")[0] + b" " + body[:300]).decode(errors="replace"))
        self._buffer = b""
        if self._ending:
            self.transport.close()
        elif b"connection: close" in head.lower():  # Hypercorn takes a thousand requests a connection
            connecting = asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self.port)
            self._again = asyncio.ensure_future(connecting)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._again is not None:
            self._again = None
            return
        if not self._ending:
            self.wrong.append(f"connection lost: {exc}")
        if not self.closed.done():
            self.closed.set_result(None)

    def end(self) -> None:
        """Finish with the answer under way."""
        self._ending = True

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self.transport.write(next(self.requests))


async def drive(port: int, connections: int, seconds: float, requests: list[str]) -> dict[str, object]:
    """Load `127.0.0.1:port` and say how it answered."""
    loop = asyncio.get_running_loop()
    queue = cycle([request.encode() for request in requests])
    begun = time.perf_counter()
    clients = [Client(port, queue) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.sleep(seconds)
    for client in clients:
        client.end()
    await asyncio.wait_for(asyncio.gather(*(client.closed for client in clients)), 30)
    taken = time.perf_counter() - begun
    times = sorted(each for client in clients for each in client.times)
    wrong = [each for client in clients for each in client.wrong]
    return {
        "answers": len(times),
        "wrong": len(wrong),
        "example": wrong[0] if wrong else "",
        "seconds": taken,
        "p50": times[len(times) // 2] * 1000 if times else 0,
        "p99": times[len(times) * 99 // 100] * 1000 if times else 0,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(drive(**json.load(sys.stdin)))))
