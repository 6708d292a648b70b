"""Pool of open SMTP connections, so that not every message has to connect and sign in again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from aiosmtplib import SMTP, SMTPException, SMTPRecipientsRefused, SMTPResponseException, SMTPServerDisconnected

LIFE = 300.0
"""Seconds after which a connection is not used again: servers and firewalls end old ones."""

IDLE = 60.0
"""Seconds without use after which a connection is closed; RFC 5321 section 4.5.3.2.7 lets servers wait 5 minutes."""

MESSAGES = 100
"""Messages sent over one connection: a common limit of servers."""

CLOSING = 421
"""The server ends the connection (RFC 5321 section 3.8)."""

Begin = Callable[[SMTP], Awaitable[object]]
"""Sends the first command of a message."""


@dataclass(slots=True)
class _Connection:
    client: SMTP
    opened: float
    used: float
    transport: asyncio.BaseTransport | None  # the client forgets it when it closes
    messages: int = 0

    @property
    def worn(self) -> bool:
        now = monotonic()
        old = now - self.opened > LIFE or now - self.used > IDLE
        return old or self.messages >= MESSAGES or not self.client.is_connected


class Connections:
    """A pool: it opens as many connections as there are messages at a time, and keeps those that are free."""

    def __init__(self, connect: Callable[[], Awaitable[SMTP]]) -> None:
        self._connect = connect
        self._free: list[_Connection] = []
        self._closed = 0  # how often all were closed: what was lent before does not come back

    @asynccontextmanager
    async def lent(self, begin: Begin) -> AsyncIterator[SMTP]:
        """A connection for one message, on which `begin` was answered; it returns to the pool unless it was lost or the
        message was interrupted. A connection that the server had ended fails at `begin`; another one is used then."""
        era = self._closed
        connection = await self._begun(begin, era)
        async with self._held(connection, era):
            yield connection.client
        self._take_back(connection, era)

    async def close(self) -> None:
        """Close all that are free; those in use are closed when they come back."""
        self._closed += 1
        while self._free:
            await _quit(self._free.pop())
        await asyncio.sleep(0)  # the event loop closes what was dropped in its next round

    async def _begun(self, begin: Begin, era: int) -> _Connection:
        while self._free:
            connection = self._free.pop()  # the last used first: the others may then end by age
            if connection.worn:
                await _quit(connection)
                continue
            try:
                async with self._held(connection, era):
                    await begin(connection.client)
            except (SMTPServerDisconnected, SMTPResponseException) as error:
                if not _ended(error):
                    raise
            else:
                return connection
        connection = _made(await self._connect())
        async with self._held(connection, era):
            await begin(connection.client)
        return connection

    @asynccontextmanager
    async def _held(self, connection: _Connection, era: int) -> AsyncIterator[None]:
        """Take a connection back after a refusal, its envelope reset; close it after anything else that is raised."""
        try:
            yield
        except (SMTPResponseException, SMTPRecipientsRefused) as error:
            if _ended(error) or not await _reset(connection.client):
                drop(connection.client, connection.transport)
            else:
                self._take_back(connection, era)
            raise
        except BaseException:  # cancelled ones too: an answer may still be on its way
            drop(connection.client, connection.transport)
            raise

    def _take_back(self, connection: _Connection, era: int) -> None:
        connection.used = monotonic()
        connection.messages += 1
        if era == self._closed and not connection.worn:
            self._free.append(connection)
        else:
            drop(connection.client, connection.transport)


def _made(client: SMTP) -> _Connection:
    now = monotonic()
    return _Connection(client, now, now, client.transport)


def drop(client: SMTP, transport: asyncio.BaseTransport | None) -> None:
    """Close a connection at once, without QUIT."""
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    client.close()


def _ended(error: Exception) -> bool:
    return isinstance(error, SMTPServerDisconnected) or getattr(error, "code", 0) == CLOSING


async def _reset(client: SMTP) -> bool:
    try:
        await client.rset()
    except (SMTPException, OSError):
        return False
    return True


async def _quit(connection: _Connection) -> None:
    client = connection.client
    try:
        if client.is_connected:
            await client.quit(timeout=2)
    except (SMTPException, OSError):
        pass  # it is gone already
    finally:
        drop(client, connection.transport)
