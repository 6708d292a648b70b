"""The one connection of a process over which Redis notifies it of new messages in the streams it follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from host.cache.client import RedisClient, pack
from host.cache.connection import Connection, Reply
from host.errors import Unavailable

PING_EVERY = 5.0
"""Seconds between two looks at whether the server still answers."""

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
_PUSHED = (b"message", b"subscribe", b"unsubscribe")

_log = logging.getLogger("host.live")


class _PushConnection(Connection):
    """A connection on which the server speaks by itself."""

    heard: Callable[[list[Any]], None] = staticmethod(lambda answer: None)

    def answered(self, answer: Reply) -> None:
        if isinstance(answer, list) and answer and answer[0] in _PUSHED:
            self.heard(answer)
        else:
            super().answered(answer)


class Subscriptions:
    """Subscribes to names, again after every lost connection.

    heard: called with the name and the payload of a notice. begun: called with a name once its notices come, also
    after the connection was lost and opened again.
    """

    def __init__(
        self,
        redis_client: RedisClient,
        heard: Callable[[str, bytes], None],
        begun: Callable[[str], None],
    ) -> None:
        self._redis_client = redis_client
        self._heard, self._begun = heard, begun
        self._names: set[str] = set()
        self._connection: _PushConnection | None = None
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start; the connection is opened when the first name is added."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def add(self, name: str) -> None:
        """Subscribe to a name."""
        self._names.add(name)
        self._wanted.set()
        self._post("SUBSCRIBE", name)

    def discard(self, name: str) -> None:
        """Unsubscribe from a name."""
        self._names.discard(name)
        self._post("UNSUBSCRIBE", name)

    def _post(self, *command: str) -> None:
        if self._connection is not None:
            self._connection.post(pack(command))

    async def _run(self) -> None:
        await self._wanted.wait()
        wait = _FIRST_WAIT
        while True:
            try:
                connection = await self._redis_client.another(_PushConnection)
            except Unavailable as away:
                _log.debug("live channels wait: %s", away)
                await asyncio.sleep(wait)
                wait = min(_LONGEST_WAIT, wait * 2)
                continue
            wait = _FIRST_WAIT
            try:
                await self._listen(connection)
            finally:
                self._connection = None
                await connection.close()

    async def _listen(self, connection: _PushConnection) -> None:
        connection.heard = self._pushed
        self._connection = connection
        if self._names:
            self._post("SUBSCRIBE", *self._names)
        while not await connection.lost(PING_EVERY):
            try:
                await connection.send(pack(("PING",)))
            except Unavailable as away:
                _log.debug("live channels wait: %s", away)
                return

    def _pushed(self, answer: list[Any]) -> None:
        kind, name = answer[0], answer[1]
        if kind == b"message":
            self._heard(name.decode(), answer[2])
        elif kind == b"subscribe":
            self._begun(name.decode())
