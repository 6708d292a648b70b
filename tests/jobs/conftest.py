"""A job store, wake-up queue, runners and reconcilers on a Redis of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from host.cache.embedded import EmbeddedRedis
from host.contracts import Decision, Task
from host.data.database import Database
from host.jobs.catalog import JobDraft, TaskCatalog
from host.jobs.executor import Executor
from host.jobs.job_store import JobStore
from host.jobs.models import Job, JobState
from host.jobs.reconciler import Reconciler
from host.jobs.runner import Runner
from host.jobs.schedule import ScheduledTenant
from host.jobs.wakeups import Wakeups
from tenants.models import TenantStatus
from tenants.snapshots import TenantSnapshot


class Clock:
    """Real time, moved on by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class JobSetup:
    """Everything jobs need, with a gate and a list of tenants that the test holds."""

    def __init__(self, redis_url: str) -> None:
        self.clock = Clock()
        self.tasks: dict[str, Task] = {}
        self.job_store = JobStore(lease=timedelta(seconds=0.6), now=self.clock, channel_of=self.channel_of)
        self.wakeups = Wakeups(redis_url, timeout=1.0)
        self.ran: list[str] = []
        self.off: dict[str, str] = {}
        self.tenants = [UUID(int=number) for number in (1, 2, 3)]
        self.scheduled: dict[UUID, dict[str, Any]] = {}  # a tenant's zone and created_at, for schedules
        self.runners: list[Runner] = []
        self.reconcilers: list[Reconciler] = []

    def task(self, run: Callable[..., Awaitable[Any]], name: str = "mail.send", **numbers: Any) -> str:
        """Declare a task."""
        short = name.partition(".")[2]
        self.tasks[name] = Task(name=short, run=run, summary="for a test", **{"backoff": 0.0, **numbers})
        return name

    async def store(self, task: str = "mail.send", **more: Any) -> UUID:
        """Accept a job without ringing the wake-up queue."""
        draft = JobDraft(task=task, **{"tenant_id": self.tenants[0], **more})
        await self.job_store.store([draft])
        return draft.id

    async def job(self, job_id: UUID) -> Job:
        """The job as it is on record."""
        return await Job.get(id=job_id)

    def channel_of(self, task: str) -> str:
        """As the catalogue says it."""
        return TaskCatalog(self.tasks).channel_of(task)

    async def may_run(self, tenant_id: UUID | None, task: str) -> Decision:
        """Yes, unless the test switched the plugin off."""
        reason = self.off.get(task.partition(".")[0], "")
        return Decision(allowed=not reason, reason=reason)

    async def snapshot_of(self, tenant_id: UUID) -> TenantSnapshot | None:
        """Facts of the test's tenants."""
        if tenant_id not in self.tenants:
            return None
        known = {"id": tenant_id, "slug": f"t{tenant_id.int}", "status": TenantStatus.ACTIVE}
        return TenantSnapshot(**{field.name: known.get(field.name, {}) for field in fields(TenantSnapshot)})

    def runner(self, **numbers: Any) -> Runner:
        """One more runner."""
        executor = Executor(self.job_store, self.snapshot_of)
        self.runners.append(Runner(self.job_store, executor, self.wakeups, self.tasks, self.may_run, **numbers))
        return self.runners[-1]

    def reconciler(self, **numbers: Any) -> Reconciler:
        """One more reconciler."""

        async def tenants() -> list[ScheduledTenant]:
            return [ScheduledTenant(each, **self.scheduled.get(each, {})) for each in self.tenants]

        settings = {"every": 0.1, **numbers}
        made = Reconciler(self.job_store, self.wakeups, TaskCatalog(self.tasks), self.may_run, tenants, **settings)
        self.reconcilers.append(made)
        return made

    async def until(self, done: Callable[[], Awaitable[bool]], seconds: float = 15.0) -> None:
        """Wait until `done` says so."""
        async with asyncio.timeout(seconds):
            while not await done():  # noqa: ASYNC110 - the record is in a database
                await asyncio.sleep(0.05)

    async def until_state(self, job_id: UUID, state: JobState, seconds: float = 15.0) -> Job:
        """Wait until a job is in a state."""

        async def there() -> bool:
            return (await self.job(job_id)).state == state

        await self.until(there, seconds)
        return await self.job(job_id)

    async def close(self) -> None:
        for reconciler in self.reconcilers:
            await reconciler.stop()
        for runner in self.runners:
            await runner.stop(grace=0.1)
        await self.wakeups.close()


@pytest.fixture
async def job_setup(database: Database, redis_server: EmbeddedRedis) -> AsyncIterator[JobSetup]:
    made = JobSetup(redis_server.url)
    yield made
    await made.close()
