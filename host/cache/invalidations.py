"""Tell every process that a cached tenant, person or value has changed, even if the changing process dies at once.

A row is written in the transaction of the change, and Redis is told after the commit. If that fails (the process is
killed, Redis is unavailable), every process polls for such rows and delivers them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from uuid import UUID

from host.cache.models import CacheInvalidation
from host.cache.versions import Versions
from host.errors import Unavailable
from host.periodic import Periodic

EVERY = 0.5
"""Seconds between two polls; a change reaches every process within a second."""

_BATCH = 200

_log = logging.getLogger("host.cache")


class Invalidations:
    """Stores and delivers invalidations; delivering one twice is harmless and costs one more database read."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._delivered: set[UUID] = set()  # delivered by this process, their rows not deleted yet
        self._polling = Periodic(self.deliver, EVERY, _log, "cache invalidations are delayed")

    async def store(
        self, tenants: Collection[UUID], users: Collection[UUID], tags: Collection[str]
    ) -> Callable[[], Awaitable[None]]:
        """Record a change in the current transaction; call the returned function after the commit to tell Redis."""
        row = await CacheInvalidation.create(
            tenants=[str(each) for each in tenants], users=[str(each) for each in users], tags=list(tags)
        )

        async def tell() -> None:
            try:
                await self._versions.touched(tenants, users, tags)
            except Unavailable:
                return  # the row is still there
            self._delivered.add(row.id)

        return tell

    async def deliver(self) -> int:
        """Tell Redis of every pending change and delete the delivered ones; returns how many were sent.

        Raises:
            Unavailable: Redis or the database cannot be reached.
        """
        delivered, self._delivered = self._delivered, set()
        rows = await CacheInvalidation.all().order_by("created_at").limit(_BATCH)
        untold = [row for row in rows if row.id not in delivered]
        tenants = {UUID(each) for row in untold for each in row.tenants}
        tags = {each for row in untold for each in row.tags or ()}
        await self._versions.touched(tenants, {UUID(each) for row in untold for each in row.users}, tags)
        if rows:
            await CacheInvalidation.filter(id__in=[row.id for row in rows]).delete()
        return len(untold)

    async def start(self) -> None:
        """Start polling; call it with the services bound and no tenant bound."""
        self._polling.start()

    async def stop(self) -> None:
        """Stop polling."""
        await self._polling.stop()
