"""Version tokens in Redis that change with a tenant or a person, so that every process drops what it cached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from uuid import UUID, uuid4

from host.cache.client import RedisClient
from host.cache.computed import Command, tag_command

# Snapshots are cached for 5 minutes at most; a token must live much longer than that.
_LIFETIME = 3600


@lru_cache(maxsize=4096)
def tenant_version_key(tenant_id: UUID) -> str:
    """The Redis key that holds a tenant's token."""
    return f"v:t:{tenant_id}"


@lru_cache(maxsize=4096)
def user_version_key(user_id: UUID) -> str:
    """The Redis key that holds a person's token."""
    return f"v:u:{user_id}"


EPOCH_KEY = "v:epoch"
"""The Redis key that is missing after Redis was emptied, which makes every version read before invalid."""


class Versions:
    """Replaces version tokens; they are read in the same round trip as the rate limits."""

    def __init__(self, redis_client: RedisClient) -> None:
        self._redis_client = redis_client

    async def touched(self, tenants: Iterable[UUID], users: Iterable[UUID], tags: Iterable[str] = ()) -> None:
        """Give these tenants and people, and the tags of computed values with these keys, new tokens in one round trip.

        Raises:
            Unavailable: Redis cannot be reached; cached snapshots then expire by themselves.
        """
        keys = [*map(tenant_version_key, tenants), *map(user_version_key, users)]
        commands: list[Command] = [("SET", key, uuid4().bytes, "EX", _LIFETIME) for key in keys]
        commands += map(tag_command, tags)
        if commands:
            await self._redis_client.calls(commands)

    async def read(self, epoch: bytes | None, tokens: Sequence[bytes | None]) -> list[bytes]:
        """Versions made from the values of `EPOCH_KEY` and of other keys, read in one round trip.

        An emptied Redis has lost its epoch; one that was restarted or replaced by a copy may hold old tokens, but the
        connection was opened anew. In both cases every version differs from the earlier one.

        Raises:
            Unavailable: Redis cannot be reached.
        """
        if epoch is None:
            epoch = await self._begin_epoch()
        before = b"%d:%b" % (self._redis_client.connections, epoch)
        return [before + (token or b"") for token in tokens]

    async def _begin_epoch(self) -> bytes:
        """Set the epoch of an empty Redis; returns it, whichever process set it."""
        await self._redis_client.call("SET", EPOCH_KEY, uuid4().bytes, "NX")
        epoch = await self._redis_client.call("GET", EPOCH_KEY)
        return bytes(epoch or b"")

    async def of_tenant(self, tenant_id: UUID) -> bytes:
        """A tenant's version, the same as requests compute.

        Raises:
            Unavailable: Redis cannot be reached.
        """
        epoch, token = await self._redis_client.call("MGET", EPOCH_KEY, tenant_version_key(tenant_id))
        return (await self.read(epoch, [token]))[0]
