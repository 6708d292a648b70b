"""The executor: carries a job to its task, in the job's tenant and in the name of whoever started it."""

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

FactsOf = Callable[[UUID], Awaitable[TenantSnapshot | None]]


@dataclass(frozen=True, slots=True)
class _RunningJob:
    job: Job
    job_store: JobStore


_running_job: ContextVar[_RunningJob | None] = ContextVar("errand", default=None)


class Executor:
    """Binds tenant, origin and plugin around a run."""

    def __init__(self, job_store: JobStore, snapshot_of: FactsOf) -> None:
        """facts_of: what is known of a tenant; None when it does not exist (any more)."""
        self._job_store = job_store
        self._facts_of = snapshot_of

    async def execute(self, jobs: Sequence[Job], task: Task) -> Sequence[BaseException | None]:
        """Run a task for jobs of one tenant; one outcome for each, None for done. Several only if it takes several.

        Raises:
            GiveUp: the tenant is gone, or the stored arguments do not fit the task.
            Exception: whatever the task raises.
        """
        job = jobs[0]
        facts = await self._facts(job)
        given = [self._job_store.arguments(each) for each in jobs]
        if task.batch_size > 1:
            origin = Origin("", Actor("job", label=job.task))  # in the name of nobody: each may be another person's
            with use_context(ExecutionContext(origin, facts, NOBODY, job.plugin)), observe_run(jobs) as seen:
                outcomes = await _contained(task.run(given))
                if not isinstance(outcomes, Sequence) or len(outcomes) != len(jobs):
                    raise TypeError(f"task {job.task} was given {len(jobs)} jobs and must return an outcome for each")
                seen.extend(outcomes)
            return outcomes
        arguments = typed(task.run, given[0])
        token = _running_job.set(_RunningJob(job, self._job_store))
        try:
            with use_context(ExecutionContext(origin_of(job), facts, NOBODY, job.plugin)), observe_run(jobs) as seen:
                await _contained(task.run(**arguments))
                seen.append(None)
        finally:
            _running_job.reset(token)
        return [None]

    async def channel(self, job: Job, task: Task) -> tuple[str, Channel]:
        """The channel that a job goes through now, as the job store names it and with what it says of itself.

        Raises:
            GiveUp: the tenant is gone.
            Exception: whatever the task raises.
        """
        if task.channel is None:
            return "", Channel()
        facts = await self._facts(job)
        with use_context(ExecutionContext(origin_of(job), facts, NOBODY, job.plugin)):
            channel = await task.channel()
        return f"{job.plugin}/{channel.name}" if channel.name else job.plugin, channel

    async def _facts(self, job: Job) -> TenantSnapshot | None:
        if job.tenant_id is None:
            return None
        facts = await self._facts_of(job.tenant_id)
        if facts is None:
            raise GiveUp(f"the tenant {job.tenant_id} does not exist any more")
        return facts


async def _contained(work: Awaitable[object]) -> object:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as leaving:  # asyncio would end the whole process with these
        raise RuntimeError(f"the task raised {leaving!r}") from leaving


def job_id() -> UUID | None:
    """The id of the running job, the same at every try; None outside a job, and where several run together."""
    errand = _running_job.get()
    return errand.job.id if errand is not None else None


async def report_progress(fraction: float) -> None:
    """Note how far the running job is, 0..1; does nothing outside a job, and where several run together."""
    errand = _running_job.get()
    if errand is not None:
        await errand.job_store.report(errand.job, fraction)
