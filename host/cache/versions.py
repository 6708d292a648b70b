"""Version tokens in Redis that change with a tenant or a person, so that every process drops what it cached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

from host.cache.client import RedisClient

# Facts are kept for 5 minutes at most; a token only has to outlive that by far.
_LIFETIME = 3600


def tenant_version_key(tenant_id: UUID) -> str:
    """The Redis key that holds a tenant's token."""
    return f"v:t:{tenant_id}"


def user_version_key(user_id: UUID) -> str:
    """The Redis key that holds a person's token."""
    return f"v:u:{user_id}"


EPOCH_KEY = "v:epoch"
"""The Redis key that is gone when Redis was emptied: with it, every version that was read before."""


class Versions:
    """Replaces tokens; they are read in the same trip as the rates."""

    def __init__(self, redis_client: RedisClient) -> None:
        self._redis_client = redis_client

    async def touched(self, tenants: Iterable[UUID], users: Iterable[UUID]) -> None:
        """Give these tenants and people new tokens, in one trip.

        Raises:
            Unavailable: Redis is away; facts then age out by themselves.
        """
        keys = [*map(tenant_version_key, tenants), *map(user_version_key, users)]
        if keys:
            await self._redis_client.calls([("SET", key, uuid4().bytes, "EX", _LIFETIME) for key in keys])

    async def read(self, epoch: bytes | None, tokens: Sequence[bytes | None]) -> list[bytes]:
        """Versions of what the keys `EPOCH_KEY` and some others held, read in one trip.

        An emptied Redis has lost its epoch; one that was restarted or replaced by a copy may hold old tokens, but
        takes the connection along. Either way no version is the one of before.

        Raises:
            Unavailable: Redis is away.
        """
        if epoch is None:
            epoch = await self._begin_epoch()
        before = b"%d:%b" % (self._redis_client.connections, epoch)
        return [before + (token or b"") for token in tokens]

    async def _begin_epoch(self) -> bytes:
        """Mark a Redis that holds nothing of ours yet; the mark, whoever of several processes made it."""
        await self._redis_client.call("SET", EPOCH_KEY, uuid4().bytes, "NX")
        epoch = await self._redis_client.call("GET", EPOCH_KEY)
        return bytes(epoch or b"")

    async def of_tenant(self, tenant_id: UUID) -> bytes:
        """A tenant's version, as requests know it.

        Raises:
            Unavailable: Redis is away.
        """
        epoch, token = await self._redis_client.call("MGET", EPOCH_KEY, tenant_version_key(tenant_id))
        return (await self.read(epoch, [token]))[0]
