"""Run a job's task in the job's tenant and in the name of the person who started it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from host.contracts import Actor, Channel, Origin, Task
from host.execution_context import NOBODY, ExecutionContext, use_context
from host.jobs.arguments import typed
from host.jobs.job_store import JobStore, origin_of
from host.jobs.models import Job
from host.jobs.outcomes import GiveUp
from host.jobs.progress import observe_run
from tenants.snapshots import TenantSnapshot

SnapshotOf = Callable[[UUID], Awaitable[TenantSnapshot | None]]


@dataclass(frozen=True, slots=True)
class _RunningJob:
    job: Job
    job_store: JobStore


# Not in the execution context, which lies below jobs and is replaced within one run, by `as_plugin` for instance.
_running_job: ContextVar[_RunningJob | None] = ContextVar("running_job", default=None)


class Executor:
    """Runs tasks with the job's tenant, origin and plugin bound."""

    def __init__(self, job_store: JobStore, snapshot_of: SnapshotOf) -> None:
        """snapshot_of: reads the snapshot of a tenant; None when the tenant does not exist (any more)."""
        self._job_store = job_store
        self._snapshot_of = snapshot_of

    async def execute(self, jobs: Sequence[Job], task: Task) -> Sequence[BaseException | None]:
        """Run a task for jobs of one tenant; one outcome for each, None for done. Several only if `batch_size` allows.

        Raises:
            GiveUp: the tenant is gone, or the stored arguments do not fit the task.
            Exception: whatever the task raises.
        """
        job = jobs[0]
        snapshot = await self._snapshot(job)
        stored_arguments = [self._job_store.arguments(each) for each in jobs]
        if task.batch_size > 1:
            origin = Origin("", Actor("job", label=job.task))  # no person's name: each job may be another person's
            with use_context(ExecutionContext(origin, snapshot, NOBODY, job.plugin)), observe_run(jobs) as recorded:
                outcomes = await _contained(task.run(stored_arguments))
                if not isinstance(outcomes, Sequence) or len(outcomes) != len(jobs):
                    raise TypeError(f"task {job.task} was given {len(jobs)} jobs and must return one outcome per job")
                recorded.extend(outcomes)
            return outcomes
        arguments = typed(task.run, stored_arguments[0])
        token = _running_job.set(_RunningJob(job, self._job_store))
        try:
            with (
                use_context(ExecutionContext(origin_of(job), snapshot, NOBODY, job.plugin)),
                observe_run(jobs) as recorded,
            ):
                await _contained(task.run(**arguments))
                recorded.append(None)
        finally:
            _running_job.reset(token)
        return [None]

    async def channel(self, job: Job, task: Task) -> tuple[str, Channel]:
        """The channel that a job must go through now: its name in the job store, and its limits.

        Raises:
            GiveUp: the tenant is gone.
            Exception: whatever the task raises.
        """
        if task.channel is None:
            return "", Channel()
        snapshot = await self._snapshot(job)
        if isinstance(task.channel, Channel):
            channel = task.channel
        else:
            with use_context(ExecutionContext(origin_of(job), snapshot, NOBODY, job.plugin)):
                channel = await task.channel()
        return f"{job.plugin}/{channel.name}" if channel.name else job.plugin, channel

    async def _snapshot(self, job: Job) -> TenantSnapshot | None:
        if job.tenant_id is None:
            return None
        snapshot = await self._snapshot_of(job.tenant_id)
        if snapshot is None:
            raise GiveUp(f"the tenant {job.tenant_id} does not exist any more")
        return snapshot


async def _contained(work: Awaitable[object]) -> object:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as leaving:  # asyncio would end the whole process with these
        raise RuntimeError(f"the task raised {leaving!r}") from leaving


def job_id() -> UUID | None:
    """The id of the running job, the same at every try; None outside a job, and where several run together.

    Example:
        message_id = job_id() or uuid7()
    """
    running = _running_job.get()
    return running.job.id if running is not None else None


async def note_progress(fraction: float) -> None:
    """Note with the running job how far it is, 0..1; does nothing outside a job, and where several run together."""
    running = _running_job.get()
    if running is not None:
        await running.job_store.report(running.job, fraction)
