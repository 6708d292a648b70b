"""The cache of one plugin in one tenant: expiring Redis keys with a prefix that nobody else can use."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from host.cache.client import RedisClient

_LONGEST_KEY = 512


class CacheNamespace:
    """One plugin's cache in one tenant: every value expires, and may be lost sooner.

    Methods raise `Unavailable` when Redis cannot be reached.
    """

    __slots__ = ("_prefix", "_redis_client")

    def __init__(self, redis_client: RedisClient, tenant_id: UUID, plugin: str) -> None:
        if not plugin or ":" in plugin:
            raise ValueError(f"{plugin!r} is no plugin's id")
        self._redis_client = redis_client
        self._prefix = f"t:{tenant_id}:{plugin}:"

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none (any more)."""
        value: bytes | None = await self._redis_client.call("GET", self._key(key))
        return value

    async def set(self, key: str, value: bytes | str, ttl: timedelta | float) -> None:
        """Store a value for `ttl` (seconds when a number)."""
        await self._redis_client.call("SET", self._key(key), value, "PX", _milliseconds(ttl))

    async def add(self, key: str, value: bytes | str, ttl: timedelta | float) -> bool:
        """Store a value unless there is one already; returns whether it was. Atomic: one caller of many succeeds."""
        return await self._redis_client.call("SET", self._key(key), value, "PX", _milliseconds(ttl), "NX") is not None

    async def delete(self, *keys: str) -> int:
        """Delete values; returns how many there were."""
        if not keys:
            return 0
        return int(await self._redis_client.call("DEL", *map(self._key, keys)))

    def _key(self, key: str) -> str:
        if not key or len(key.encode()) > _LONGEST_KEY:
            raise ValueError(f"a cache key has 1 to {_LONGEST_KEY} bytes")
        return self._prefix + key


def _milliseconds(ttl: timedelta | float) -> int:
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else float(ttl)
    if seconds <= 0:
        raise ValueError("ttl must be above 0")
    return max(1, round(seconds * 1000))


async def forget_tenant(redis_client: RedisClient, tenant_id: UUID) -> int:
    """Remove every key of a tenant that is being purged; returns how many there were."""
    cursor, removed = b"0", 0
    while True:
        cursor, keys = await redis_client.call("SCAN", cursor, "MATCH", f"t:{tenant_id}:*", "COUNT", 500)
        if keys:
            removed += int(await redis_client.call("UNLINK", *keys))
        if cursor == b"0":
            return removed
