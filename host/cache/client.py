"""Send Redis commands over one pipelined connection, with time-outs and reconnection.

Own code, as every request asks Redis once: redis-py takes a pooled connection, a lock and a write for each command,
this client one write for all commands of one turn of the event loop. With 16 at once a GET costs 7 us of CPU instead of
37 (`python -m benchmarks.own_code redis`). What blocks or is rare uses redis-py: see `host.jobs.wakeups`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import hiredis

from host.cache.address import Address, parse
from host.cache.connection import Connection, Reply
from host.errors import Unavailable
from host.instruments import tally, timed

__all__ = ["RedisClient", "Refused", "Reply", "pack"]

Argument = str | bytes | int | float
T = TypeVar("T")
AnyConnection = TypeVar("AnyConnection", bound=Connection)

_log = logging.getLogger("host.cache")
_TRANSIENT = frozenset({"LOADING", "READONLY", "MASTERDOWN", "OOM", "BUSY", "CLUSTERDOWN", "MISCONF", "TRYAGAIN"})
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
_MOST_IN_FLIGHT = 10_000


class Refused(Exception):
    """The server answered a command with an error; `code` is the first word of that error."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message.partition(" ")[0]


class RedisClient:
    """A client for short commands (none that block), safe to share by every task of one event loop.

    A command is sent once: without an answer it is unknown whether it was executed, so it is never repeated.
    The answer to a cancelled command is read and discarded, never given to another caller.
    """

    def __init__(
        self, url: str, *, timeout: float = 2.0, revive: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Connect on first use.

        Args:
            url: as `host.cache.address.parse` reads it.
            timeout: seconds a command may take, connecting included.
            revive: called when connecting failed, before it is tried once more (starts an embedded server again).

        Raises:
            ConfigurationError: the URL is not understood.
        """
        self._address: Address = parse(url)
        self._timeout = timeout
        self._revive = revive
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._wait = 0.0
        self._not_before = 0.0
        self._closed = False
        self.connections = 0  # opened so far; after each new one, data that Redis held before may be lost

    async def call(self, *command: Argument) -> Reply:
        """Send one command and return its answer: bytes, int, list or None.

        Raises:
            Unavailable: no connection, or no answer in time.
            Refused: the server answered with an error.
        """
        return await _measured(str(command[0]), self._call(command))

    async def calls(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Send several commands in one round trip and return their answers in order; raises the first error."""
        return await _measured(str(commands[0][0]), self._calls(commands))

    async def ping(self) -> None:
        """Check that Redis answers.

        Raises:
            Unavailable: it does not.
        """
        await self.call("PING")

    async def another(self, kind: type[AnyConnection]) -> AnyConnection:
        """A new connection of this kind to the same server, for the caller to use and to close.

        Raises:
            Unavailable: Redis cannot be reached.
        """
        try:
            return await self._open_or_revive(kind)
        except (OSError, TimeoutError, Refused) as error:
            raise Unavailable("Redis is away; try again shortly.") from error

    async def close(self) -> None:
        """Close the connection; commands in flight fail with Unavailable."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    async def _call(self, command: Sequence[Argument]) -> Reply:
        connection = self._connection
        if connection is None or not connection.alive:
            connection = await self._connected()
        if len(connection.waiting) >= _MOST_IN_FLIGHT:
            raise Unavailable("Redis answers too slowly: too many commands are waiting.")
        return _unwrap(await connection.send(pack(command)))

    async def _calls(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        connection = self._connection
        if connection is None or not connection.alive:
            connection = await self._connected()
        futures = [connection.send(pack(command)) for command in commands]
        return [_unwrap(answer) for answer in await asyncio.gather(*futures)]

    async def _connected(self) -> Connection:
        if self._closed:
            raise Unavailable("The connection to Redis was closed.")
        if self._connecting is None or self._connecting.done():
            loop = asyncio.get_running_loop()
            if loop.time() < self._not_before:
                raise Unavailable("Redis is away; try again shortly.")
            self._connecting = loop.create_task(self._connect())
        # shielded: many callers wait for this one connection, and one of them may be cancelled
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Connection:
        if self._connection is not None and self._connection.alive:
            return self._connection
        try:
            self._connection = await self._open_or_revive(Connection)
        except (OSError, TimeoutError, Unavailable, Refused) as error:
            self._wait = min(_LONGEST_WAIT, self._wait * 2 or _FIRST_WAIT)
            self._not_before = asyncio.get_running_loop().time() + self._wait
            _log.warning("Redis at %s is away: %s", self._address, error or type(error).__name__)
            raise Unavailable("Redis is away; try again shortly.") from error
        self._wait = self._not_before = 0.0
        self.connections += 1
        return self._connection

    async def _open_or_revive(self, kind: type[AnyConnection]) -> AnyConnection:
        try:
            return await self._open(kind)
        except OSError as error:
            if self._revive is None or isinstance(error, TimeoutError):  # a server that hangs is still running
                raise
            await self._revive()
            return await self._open(kind)

    async def _open(self, kind: type[AnyConnection]) -> AnyConnection:
        async with asyncio.timeout(self._timeout):
            connection = await kind.open(self._address, self._timeout)
            try:
                for command in _greeting(self._address):
                    _unwrap(await connection.send(pack(command)))
            except BaseException:
                connection.abort(Unavailable())
                raise
        return connection


async def _measured(name: str, work: Coroutine[Any, Any, T]) -> T:
    """Await the answer to one or several commands, and record the duration and any error in the metrics."""
    try:
        return await timed("tenantry_redis_duration_seconds", (name,), work)
    except Unavailable:
        tally("tenantry_redis_errors_total", "unavailable")
        raise
    except Refused as refused:
        tally("tenantry_redis_errors_total", refused.code)
        raise


def _greeting(address: Address) -> list[tuple[Argument, ...]]:
    commands: list[tuple[Argument, ...]] = []
    if address.password:
        user = (address.username,) if address.username else ()
        commands.append(("AUTH", *user, address.password))
    if address.database:
        commands.append(("SELECT", address.database))
    commands.append(("PING",))  # a server that is frozen or loading accepts connections all the same
    return commands


def pack(command: Sequence[Argument]) -> bytes:
    """A command as it is sent."""
    packed: bytes = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # the stub allows only one argument
    return packed


def _unwrap(answer: Any) -> Reply:
    if isinstance(answer, hiredis.ReplyError):
        refused = Refused(str(answer))
        if refused.code in _TRANSIENT:
            raise Unavailable(f"Redis cannot do this now: {answer}") from refused
        raise refused
    return answer
