"""Find jobs that are due, abandoned, wrongly parked, scheduled or old every few seconds, and act on them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from host.errors import Unavailable
from host.jobs.catalog import TaskCatalog
from host.jobs.job_store import JobStore
from host.jobs.models import Job
from host.jobs.runner import MayRun
from host.jobs.schedule import KEPT, Schedule, Tenants
from host.jobs.wakeups import MESSAGES, Wakeups
from host.periodic import Periodic

Fail = Callable[[Job, str], Awaitable[object]]

_log = logging.getLogger("host.jobs")
_LOOK_AT_PARKED = timedelta(seconds=30)
_LOOK_AT_OLD = timedelta(hours=1)
_CRASHES_FORGIVEN = 2


class Reconciler:
    """A loop of repairs. Any number of reconcilers may run at once: each step is safe to do twice."""

    def __init__(
        self,
        job_store: JobStore,
        wakeups: Wakeups,
        catalog: TaskCatalog,
        may_run: MayRun,
        tenants: Tenants,
        *,
        every: float = 2.0,
        keep: timedelta = timedelta(days=7),
        fail: Fail | None = None,
    ) -> None:
        """every: seconds between two rounds, 2 by default. keep: how long finished jobs stay stored, 7 days by default.

        fail: marks a job as failed for good.
        """
        self._job_store = job_store
        self._wakeups = wakeups
        self._catalog = catalog
        self._may_run = may_run
        self._schedule = Schedule(job_store, catalog, may_run, tenants)
        self._keep = keep
        self._last: dict[str, datetime] = {}
        self._fail = fail or job_store.fail
        self._looking = Periodic(self.look, every, _log, "background jobs are not looked after", spread=0.25)

    async def start(self) -> None:
        """Start the loop. Call it with the services bound and no tenant."""
        self._looking.start()

    async def stop(self) -> None:
        """Stop the loop."""
        await self._looking.stop()

    async def look(self) -> None:
        """Do every step once; one that fails does not keep the others from being done."""
        steps: list[Callable[[], Awaitable[object]]] = [self._job_store.wake, self.take_up_abandoned, self.fan_out]
        if self._is_time("parked", _LOOK_AT_PARKED):
            steps.append(self.unpark)
        if self._is_time("old", _LOOK_AT_OLD):
            steps.append(self.clean)
        for step in (*steps, self.wake):
            try:
                await step()
            except Unavailable as error:
                _log.warning("background jobs: %s is tried again later: %s", step.__name__, error)
            except Exception:
                _log.exception("background jobs: %s failed", step.__name__)

    async def wake(self) -> int:
        """Send a wake-up for each due job without one (never sent, or lost with Redis); how many."""
        due = min(await self._job_store.due(), MESSAGES)
        missing = due - await self._wakeups.waiting() if due else 0
        if missing > 0:
            await self._wakeups.wake(missing)
        return max(0, missing)

    async def take_up_abandoned(self) -> int:
        """Queue the jobs of dead workers again; fail a job whose worker died too often."""
        jobs = await self._job_store.abandoned()
        for job in jobs:
            task = self._catalog.get(job.task)
            tries = job.tries or (task.tries if task else 1)
            reason = f"its worker {job.worker} gave no sign of life any more at try {job.attempts}"
            _log.warning("job %s (%s): %s", job.id, job.task, reason)
            if job.attempts >= tries + _CRASHES_FORGIVEN:
                await self._fail(job, reason)
            else:
                await self._job_store.retry_later(job, reason, timedelta(0))
        return len(jobs)

    async def unpark(self) -> int:
        """Queue parked jobs whose task may run again; how many."""
        count = 0
        for tenant_id, plugin, task in await self._job_store.parked():
            if task in self._catalog and (await self._may_run(tenant_id, task)).allowed:
                count += await self._job_store.unpark(plugin, tenant_id, [task])
        return count

    async def fan_out(self) -> int:
        """Store the jobs of schedules that are due; how many."""
        return await self._schedule.store_due()

    async def clean(self) -> int:
        """Delete jobs that ended longer ago than `keep`; how many."""
        now = self._job_store.now()
        slots = (2 * task.every if task.every else KEPT for task in self._catalog.scheduled().values())
        return await self._job_store.clean(now - self._keep, now - max(self._keep, *slots, timedelta(0)))

    def _is_time(self, step: str, every: timedelta) -> bool:
        now = self._job_store.now()
        if step in self._last and now - self._last[step] < every:
            return False
        self._last[step] = now
        return True
