"""Tell every process that a cached tenant or person has changed, even if the changing process dies at once.

A row is written in the transaction of the change; after the commit Redis is told. Whatever keeps that from happening
(the process is killed, Redis is away), every process looks for such rows again and again, and passes them on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from uuid import UUID

from host.cache.models import CacheInvalidation
from host.cache.versions import Versions
from host.errors import Unavailable

EVERY = 0.5
"""Seconds between two looks: within a second, everybody knows."""

_BATCH = 200

_log = logging.getLogger("host.cache")


class Invalidations:
    """Any number of processes may deliver the same row: to tell of a change twice costs a look into the database."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._delivered: set[UUID] = set()  # told by this process, their rows not deleted yet
        self._loop: asyncio.Task[None] | None = None

    async def store(self, tenants: Collection[UUID], users: Collection[UUID]) -> Callable[[], Awaitable[None]]:
        """Note a change in the current transaction; what is returned tells Redis and is for after the commit."""
        row = await CacheInvalidation.create(
            tenants=[str(each) for each in tenants], users=[str(each) for each in users]
        )

        async def tell() -> None:
            try:
                await self._versions.touched(tenants, users)
            except Unavailable:
                return  # the row is still there
            self._delivered.add(row.id)

        return tell

    async def deliver(self) -> int:
        """Tell Redis of every change that it may not have heard of, and forget those that it has; how many they were.

        Raises:
            Unavailable: Redis or the database is away.
        """
        delivered, self._delivered = self._delivered, set()
        rows = await CacheInvalidation.all().order_by("created_at").limit(_BATCH)
        untold = [row for row in rows if row.id not in delivered]
        tenants = {UUID(each) for row in untold for each in row.tenants}
        await self._versions.touched(tenants, {UUID(each) for row in untold for each in row.users})
        if rows:
            await CacheInvalidation.filter(id__in=[row.id for row in rows]).delete()
        return len(untold)

    async def start(self) -> None:
        """Begin to look; call it with the services bound and no tenant."""
        self._loop = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """Look no more."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None

    async def _go_on(self) -> None:
        while True:
            try:
                await self.deliver()
            except Unavailable as away:
                _log.debug("changes that other processes must hear of have to wait: %s", away)
            except Exception:
                _log.exception("changes that other processes must hear of could not be delivered")
            await asyncio.sleep(EVERY)
