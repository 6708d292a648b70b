"""Count the streams that each person has open over all processes, and refuse more than there may be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from host.cache.client import RedisClient
from host.cache.script import Script
from host.errors import RateLimited, Unavailable
from host.periodic import Periodic

RENEW_EVERY = 10.0
_KEPT = 35.0
"""Seconds after which a stream of a killed process does not count any more."""

_log = logging.getLogger("host.live")

# KEYS: the person's streams. ARGV: this stream's id, how many there may be, milliseconds it counts.
_TAKE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")


class OpenStreams:
    """The streams that this process has open. most: how many one person may have, in all processes together."""

    def __init__(self, redis_client: RedisClient, most: int) -> None:
        self._redis_client, self.most = redis_client, most
        self._open: dict[str, str] = {}  # stream's id -> key
        self._renewing = Periodic(self._renew, RENEW_EVERY, _log, "open streams could not be renewed", at_once=False)

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Start renewing."""
        self._renewing.start()

    async def stop(self) -> None:
        """Stop renewing."""
        await self._renewing.stop()

    @asynccontextmanager
    async def opened(self, whose: str) -> AsyncIterator[None]:
        """Count a stream for the block.

        Raises:
            RateLimited: this person has as many open as there may be.
            Unavailable: Redis cannot be reached.
        """
        id_, key = uuid4().hex, f"streams:{whose}"
        if not await self._take(id_, key, self.most):
            raise RateLimited(
                f"{self.most} streams are open already; close one of them first.",
                details={"limit": "rates.open_streams", "value": str(self.most)},
                headers={"Retry-After": "5"},
            )
        self._open[id_] = key
        try:
            yield
        finally:
            del self._open[id_]
            try:
                await self._redis_client.call("ZREM", key, id_)
            except Unavailable as away:
                _log.debug("a closed stream counts for %g seconds more: %s", _KEPT, away)

    async def _take(self, id_: str, key: str, most: int) -> bool:
        return bool(await _TAKE.run(self._redis_client, [key], [id_, most, round(_KEPT * 1000)]))

    async def _renew(self) -> None:
        await asyncio.gather(*(self._take(id_, key, 2**31) for id_, key in self._open.items()))
