"""The runner: takes due jobs when the bell rings, asks whether they may run, and writes down how they ended."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from saq.worker import Worker
from uuid_utils.compat import uuid7

from host.contracts import Decision, Task
from host.jobs.bell import Bell
from host.jobs.courier import Courier
from host.jobs.ledger import Ledger
from host.jobs.models import Job
from host.jobs.outcomes import GiveUp, Postpone, wait_before_retry
from tenants.context import current_or_none

MayRun = Callable[[UUID | None, str], Awaitable[Decision]]
"""May jobs of this plugin run in this tenant now?"""

_log = logging.getLogger("host.jobs")
_HEED_CANCELLING = 5.0  # seconds a task has to end after it was cancelled


class Runner:
    """Runs jobs, in the web process or alone; any number of runners may share one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        courier: Courier,
        bell: Bell,
        tasks: Mapping[str, Task],
        may_run: MayRun,
        *,
        concurrency: int = 10,
    ) -> None:
        """concurrency: jobs at once."""
        self.name = f"{socket.gethostname()[:24]}-{os.getpid()}-{uuid7().hex[-8:]}"
        self._ledger = ledger
        self._courier = courier
        self._bell = bell
        self._tasks = tasks
        self._may_run = may_run
        self._concurrency = concurrency
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._busy: set[asyncio.Task[Any]] = set()
        self._lost: set[UUID] = set()
        self._worker: Worker[Any] | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Begin to answer the bell. Call it with the services bound and no tenant: jobs inherit the context.

        Raises:
            RuntimeError: a tenant is bound.
        """
        if current_or_none() is not None:
            raise RuntimeError("a runner is started outside every tenant")
        self._stopping = False
        self._worker = self._bell.worker(self.run_next, concurrency=self._concurrency, name=self.name)
        self._loops = [asyncio.create_task(self._worker.start()), asyncio.create_task(self._keep_alive())]

    async def stop(self, grace: float = 10.0) -> None:
        """Take no more jobs, give running ones `grace` seconds, then give the rest back to the ledger."""
        self._stopping = True
        if self._busy:  # until the outcome is written down, not only until the task has returned
            await asyncio.wait(set(self._busy), timeout=grace)
        if self._worker is not None:
            await self._worker.stop()
            self._worker = None
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops = []

    async def run_next(self) -> bool:
        """Claim the next due job and run it; whether there was one."""
        current = asyncio.current_task()
        if self._stopping or current is None:
            return False
        self._busy.add(current)
        try:
            job = await self._ledger.claim(self.name)
            if job is not None:
                await self._take(job)
            return job is not None
        except Exception:  # the database is away: a claimed job runs again after its lease
            _log.exception("a job could not be taken or closed")
            return False
        finally:
            self._busy.discard(current)

    async def drain(self) -> int:
        """Run due jobs one after another until none is left; how many there were (for commands and tests)."""
        count = 0
        while await self.run_next():
            count += 1
        return count

    async def _take(self, job: Job) -> None:
        task = self._tasks.get(job.task)
        if task is None:
            await self._ledger.park(job, f"no plugin loaded here has a task {job.task!r}")
            return
        decision = await self._may_run(job.tenant_id, job.plugin)
        if not decision.allowed:
            await self._ledger.park(job, decision.reason)
            return
        await self._run(job, task)

    async def _run(self, job: Job, task: Task) -> None:
        run = asyncio.create_task(self._courier.carry(job, task), name=f"job {job.id} {job.task}")
        self._running[job.id] = run
        try:
            done, _ = await asyncio.wait({run}, timeout=task.timeout)
            if not done:
                await _interrupt(run)
                await self._tried(job, task, f"took longer than {task.timeout:g} seconds")
            else:
                await self._close(job, task, run)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(job, task, run))
            raise
        finally:
            self._running.pop(job.id, None)
            self._lost.discard(job.id)

    async def _close(self, job: Job, task: Task, run: asyncio.Task[None]) -> None:
        if job.id in self._lost:
            _log.warning("job %s (%s) was taken from this worker or cancelled", job.id, job.task)
            return
        error = asyncio.CancelledError() if run.cancelled() else run.exception()
        match error:
            case None:
                await self._ledger.finish(job)
            case GiveUp():
                await self._ledger.fail(job, str(error))
            case Postpone():
                await self._ledger.retry_later(job, str(error), error.wait, counts=False)
            case _:
                _log.error("job %s (%s) failed at try %s", job.id, job.task, job.attempts, exc_info=error)
                await self._tried(job, task, f"{type(error).__name__}: {error}")

    async def _tried(self, job: Job, task: Task, error: str) -> None:
        if job.attempts >= (job.tries or task.tries):
            await self._ledger.fail(job, error)
        else:
            await self._ledger.retry_later(job, error, wait_before_retry(task, job.attempts))

    async def _give_back(self, job: Job, task: Task, run: asyncio.Task[None]) -> None:
        ended = run.done()
        if not ended:
            await _interrupt(run)
        if ended or (run.done() and not run.cancelled() and run.exception() is None):
            await self._close(job, task, run)
        else:
            await self._ledger.release(job, "interrupted: the worker stopped")

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._ledger.lease / timedelta(seconds=3))
            try:
                lost = await self._ledger.beat(self.name, list(self._running))
            except Exception as error:
                _log.warning("no sign of life could be given: %s", error)
                continue
            for job_id in lost & self._running.keys():
                self._lost.add(job_id)
                self._running[job_id].cancel()


async def _interrupt(run: asyncio.Task[None]) -> None:
    """Cancel a run; one that will not end is left behind, with a line in the log."""
    run.cancel()
    await asyncio.wait({run}, timeout=_HEED_CANCELLING)
    if not run.done():
        _log.error("%s does not heed being cancelled; it is left to itself", run.get_name())
