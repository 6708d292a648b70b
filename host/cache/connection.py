"""One connection to Redis that pipelines commands and matches replies to them in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Self, cast

import hiredis

from host.cache.address import Address
from host.errors import Unavailable

Reply = Any
"""An answer of Redis: bytes, int, None or a list of these; its type depends on the command."""


class Connection(asyncio.Protocol):
    """A connection that sends commands in one write per event-loop cycle, with one timer for the oldest command."""

    def __init__(self, answer_within: float) -> None:
        self.alive = False
        self.waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._timeout = answer_within
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._lost = self._loop.create_future()

    @classmethod
    async def open(cls, address: Address, answer_within: float) -> Self:
        """Connect; `answer_within` is the time-out of each command in seconds.

        Raises:
            OSError: no server listens at the address.
        """
        loop = asyncio.get_running_loop()
        if address.path:
            _, protocol = await loop.create_unix_connection(lambda: cls(answer_within), address.path)
        else:
            _, protocol = await loop.create_connection(
                lambda: cls(answer_within), address.host, address.port, ssl=address.tls_context()
            )
        return protocol

    def send(self, packed: bytes) -> asyncio.Future[Reply]:
        """Queue a packed command; the future resolves to its answer or raises Unavailable."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        if not self.alive:
            future.set_exception(Unavailable("The connection to Redis was lost."))
            return future
        deadline = self._loop.time() + self._timeout
        self.waiting.append((deadline, future))
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._check_oldest)
        return future

    def post(self, packed: bytes) -> None:
        """Queue a packed command to which the server does not answer in order, such as SUBSCRIBE."""
        if not self.alive:
            return
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)

    async def lost(self, within: float) -> bool:
        """Wait until the connection is lost, at most so many seconds; returns whether it was."""
        done, _ = await asyncio.wait([self._lost], timeout=within)
        return bool(done)

    def abort(self, reason: Exception) -> None:
        """Close at once; every command in flight fails with `reason`."""
        self.alive = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._transport is not None:
            self._transport.abort()
        while self.waiting:
            _, future = self.waiting.popleft()
            if not future.done():
                future.set_exception(reason)

    async def close(self) -> None:
        """Close and wait until the socket is closed."""
        self.abort(Unavailable("The connection to Redis was closed."))
        await self._lost

    # -- called by the event loop --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.alive = True

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self.answered(answer)
        except hiredis.HiredisError as error:
            self.abort(Unavailable(f"Redis answered something unreadable: {error}"))

    def answered(self, answer: Reply) -> None:
        """Give an answer to the oldest waiting command."""
        if not self.waiting:
            raise hiredis.ProtocolError("an answer without a command")
        _, future = self.waiting.popleft()
        if not future.done():  # done: its caller was cancelled, so the answer is dropped
            future.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.abort(Unavailable("The connection to Redis was lost."))
        if not self._lost.done():
            self._lost.set_result(None)

    def _flush(self) -> None:
        gathered, self._outgoing = b"".join(self._outgoing), []
        if self.alive and self._transport is not None:
            self._transport.write(gathered)

    def _check_oldest(self) -> None:
        self._watch = None
        if not self.waiting:
            return
        deadline = self.waiting[0][0]
        if deadline <= self._loop.time():
            # every later command waits for the same hanging server
            self.abort(Unavailable(f"Redis did not answer within {self._timeout:g} seconds."))
        else:
            self._watch = self._loop.call_at(deadline, self._check_oldest)
