"""Version tokens: what tells every process that the facts of a tenant or a person have changed."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID, uuid4

from host.cache.wire import Wire

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

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def touched(self, tenants: Iterable[UUID], users: Iterable[UUID]) -> None:
        """Give these tenants and people new tokens, in one trip.

        Raises:
            Unavailable: Redis is away; facts then age out by themselves.
        """
        keys = [*map(tenant_version_key, tenants), *map(user_version_key, users)]
        if keys:
            await self._wire.calls([("SET", key, uuid4().bytes, "EX", _LIFETIME) for key in keys])

    async def begin_epoch(self) -> bytes:
        """Mark a Redis that holds nothing of ours yet; the mark, whoever of several processes made it.

        Raises:
            Unavailable: Redis is away.
        """
        await self._wire.call("SET", EPOCH_KEY, uuid4().bytes, "NX")
        found = await self._wire.call("GET", EPOCH_KEY)
        return bytes(found or b"")

    async def of_tenant(self, tenant_id: UUID) -> bytes:
        """A tenant's version, as requests know it.

        Raises:
            Unavailable: Redis is away.
        """
        epoch, token = await self._wire.call("MGET", EPOCH_KEY, tenant_version_key(tenant_id))
        return bytes(epoch or await self.begin_epoch()) + bytes(token or b"")
