"""Claim due jobs when woken, run them if they may run, and record how they ended."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from saq.worker import Worker
from uuid_utils.compat import uuid7

from host.contracts import Decision, Task
from host.errors import ApiError, Unavailable
from host.jobs.channels import Channels
from host.jobs.claims import LAST, PROMPT, URGENT
from host.jobs.executor import Executor
from host.jobs.job_store import JobStore
from host.jobs.models import Job
from host.jobs.outcomes import Backoff, GiveUp, Postpone, TryAgain
from host.jobs.progress import about_job
from host.jobs.wakeups import Wakeups
from tenants.context import current_or_none

MayRun = Callable[[UUID | None, str], Awaitable[Decision]]
"""May jobs of this task, "<plugin>.<name>", run in this tenant now?"""

Failed = Callable[[Job, str], Awaitable[None]]

_log = logging.getLogger("host.jobs")
_HEED_CANCELLING = 5.0  # seconds a task has to end after it was cancelled
_LONGEST_ANSWER = 30.0  # seconds
_MANY = 8  # places

_Run = asyncio.Task[Sequence[BaseException | None]]


class Runner:
    """Runs jobs, in the web process or alone; any number of runners may share one job store."""

    def __init__(
        self,
        job_store: JobStore,
        executor: Executor,
        wakeups: Wakeups,
        tasks: Mapping[str, Task],
        may_run: MayRun,
        *,
        concurrency: int = 10,
        failed: Failed | None = None,
    ) -> None:
        """concurrency: jobs at once. failed: called with each job that failed for good, and the reason."""
        self.name = f"{socket.gethostname()[:24]}-{os.getpid()}-{uuid7().hex[-8:]}"
        self._job_store = job_store
        self._executor = executor
        self._wakeups = wakeups
        self._tasks = tasks
        self._may_run = may_run
        self._concurrency = concurrency
        self._channels = Channels(self, job_store, executor, wakeups)
        self._failed = failed
        self._running: dict[UUID, _Run] = {}
        self._busy: set[asyncio.Task[Any]] = set()  # the worker's own places
        self._lost: set[UUID] = set()
        self._worker: Worker[Any] | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Listen to the wake-up queue. Call it with the services bound and no tenant: jobs inherit the context.

        Raises:
            RuntimeError: a tenant is bound.
        """
        if current_or_none() is not None:
            raise RuntimeError("a runner must be started with no tenant bound")
        self._stopping = False
        self._channels.start()
        self._worker = self._wakeups.worker(self.answer, concurrency=self._concurrency, name=self.name)
        self._loops = [asyncio.create_task(self._worker.start()), asyncio.create_task(self._keep_alive())]

    async def stop(self, grace: float = 10.0) -> None:
        """Take no more jobs, give running ones `grace` seconds, then give the rest back to the job store."""
        self._stopping = True
        await self._channels.stop()
        if under_way := self._busy | self._channels.runs:  # until the outcome is stored, not only the task's end
            await asyncio.wait(under_way, timeout=grace)
        await self._channels.interrupt()
        if self._worker is not None:
            await self._worker.stop()
            self._worker = None
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops = []

    async def answer(self) -> None:
        """Handle a wake-up: run jobs until none is due; after 30 seconds, wake another worker and return."""
        until = asyncio.get_running_loop().time() + _LONGEST_ANSWER
        if not self._stopping:
            await self._channels.look()
        while await self.run_next():
            if asyncio.get_running_loop().time() > until:
                return self._wakeups.wake_soon()

    async def run_next(self) -> int:
        """Claim the next due job, with those it may run together with, and run it; how many they were."""
        current = asyncio.current_task()
        if self._stopping or current is None:
            return 0
        last_priority = self._last_priority(self._concurrency - len(self._busy))
        self._busy.add(current)
        try:
            job = await self._job_store.claim(self.name, last=last_priority)
            if job is None:
                return 0
            with about_job(job):
                return await self._take(job)
        except Unavailable as error:  # a claimed job runs again after its lease
            _log.warning("no job could be claimed; tried again at the next wake-up: %s", error)
            return 0
        except Exception:
            _log.exception("a job could not be claimed, or its outcome not stored")
            return 0
        finally:
            self._busy.discard(current)

    async def drain(self) -> int:
        """Run due jobs one after another until none is left; how many there were (for commands and tests)."""
        count = 0
        await self._job_store.wake()
        while ran := await self.run_next() or await self._channels.drain():
            count += ran
            await self._job_store.wake()
        return count

    async def fail(self, job: Job, error: str) -> None:
        """Record that a job failed for good, and call the `failed` callback."""
        if await self._job_store.fail(job, error) and self._failed is not None:
            try:
                await self._failed(job, error)
            except Exception:  # the failure is stored already
                _log.exception("the callback for failed jobs raised for job %s", job.id)

    def _last_priority(self, free: int) -> int:
        """The last priority that may use one of `free` places.

        The last free place is kept for prompt jobs; of 8 places or more, one further for urgent ones.
        """
        urgent = self._concurrency >= _MANY
        if free <= urgent:
            return URGENT
        return PROMPT if free <= urgent + (self._concurrency > 1) else LAST

    async def _take(self, job: Job) -> int:
        task = await self.runnable(job)
        if task is None:
            return 1
        if task.channel is not None:  # stored before it had one
            await self._channels.move(job, task)
            return 1
        jobs = [job, *(await self._job_store.claim_alike(job, task.batch_size - 1))]
        await self.run(jobs, task)
        return len(jobs)

    async def runnable(self, job: Job) -> Task | None:
        """A claimed job's task; None if it may not run now, in which case the job is parked."""
        task = self._tasks.get(job.task)
        if task is None:
            await self._job_store.park(job, f"no plugin loaded here has a task {job.task!r}")
            return None
        decision = await self._may_run(job.tenant_id, job.task)
        if not decision.allowed:
            await self._job_store.park(job, decision.reason)
            return None
        return task

    # -- a run ---------------------------------------------------------------------------------------------

    async def run(self, jobs: Sequence[Job], task: Task) -> None:
        """Run a batch of claimed jobs and record the outcome of each."""
        run = asyncio.create_task(self._executor.execute(jobs, task), name=f"job {jobs[0].id} {jobs[0].task}")
        self._running.update((job.id, run) for job in jobs)
        try:
            done, _ = await asyncio.wait({run}, timeout=task.timeout)
            if not done:
                await _interrupt(run)
                for job in jobs:
                    await self._tried(job, task, f"took longer than {task.timeout:g} seconds")
            else:
                await self._close(jobs, task, run)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(jobs, task, run))
            raise
        finally:
            for job in jobs:
                self._running.pop(job.id, None)
                self._lost.discard(job.id)

    async def _close(self, jobs: Sequence[Job], task: Task, run: _Run) -> None:
        for job in jobs:
            if job.id in self._lost:
                _log.warning("job %s (%s) was taken from this worker or cancelled", job.id, job.task)
        outcomes = _outcomes(run, len(jobs))
        held = [(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True) if job.id not in self._lost]
        if done := [job for job, outcome in held if outcome is None]:
            await self._job_store.finish_all(done)
        for job, outcome in held:
            if outcome is not None:
                await self.not_done(job, task, outcome)

    async def not_done(self, job: Job, task: Task, outcome: BaseException) -> None:
        """Record a run that ended with an exception: failed, postponed or to be tried again."""
        match outcome:
            case GiveUp():
                await self.fail(job, str(outcome))
            case Postpone():
                await self._job_store.retry_later(job, str(outcome), outcome.wait, counts=False)
            case TryAgain():
                _log.warning("job %s (%s), try %s: %s", job.id, job.task, job.attempts, outcome)
                await self._tried(job, task, str(outcome), outcome.backoff)
            case _:
                _log.error("job %s (%s) failed at try %s", job.id, job.task, job.attempts, exc_info=outcome)
                await self._tried(job, task, _error_text(outcome))

    async def _tried(self, job: Job, task: Task, error: str, backoff: Backoff | None = None) -> None:
        backoff = backoff or Backoff(task.backoff)
        counted = backoff.within is None and job.attempts >= (job.tries or task.tries)
        wait = None if counted else backoff.wait(job.attempts)
        if wait is None:
            await self.fail(job, error)
        else:
            await self._job_store.retry_later(job, error, wait)

    async def _give_back(self, jobs: Sequence[Job], task: Task, run: _Run) -> None:
        ended = run.done()
        if not ended:
            await _interrupt(run)
        if ended or (run.done() and not run.cancelled() and run.exception() is None):
            await self._close(jobs, task, run)
        else:
            for job in jobs:
                await self._job_store.release(job, "interrupted: the worker stopped")

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._job_store.lease / timedelta(seconds=3))
            try:
                lost = await self._job_store.beat(self.name, list(self._running))
            except Exception as error:
                _log.warning("the lease of running jobs could not be extended: %s", error)
                continue
            self._lost |= lost & self._running.keys()
            for job_id in lost & self._running.keys():
                run = self._running[job_id]
                if all(other in self._lost for other, other_run in self._running.items() if other_run is run):
                    run.cancel()


def _outcomes(run: _Run, count: int) -> Sequence[BaseException | None]:
    if run.cancelled():
        return [asyncio.CancelledError()] * count
    error = run.exception()
    return run.result() if error is None else [error] * count


async def _interrupt(run: _Run) -> None:
    """Cancel a run; if it does not end in time, log that and leave it running."""
    run.cancel()
    await asyncio.wait({run}, timeout=_HEED_CANCELLING)
    if not run.done():
        _log.error("%s does not end after it was cancelled; it is left running", run.get_name())


def _error_text(error: BaseException) -> str:
    """The text of an error for the job's row: the message of an `ApiError`, else type and message."""
    return error.message if isinstance(error, ApiError) else f"{type(error).__name__}: {error}".removesuffix(": ")
