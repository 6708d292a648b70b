"""`/operator/jobs` endpoints: list, retry and cancel any organisation's jobs, pause and resume tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints

from host.api.jobs import JobDetails, JobQuery, JobSummary, again, called_off, page_of, snapshot_of
from host.contracts import Page, Task
from host.errors import Conflict, NotFound
from host.execution_context import actor
from host.jobs.models import Job
from host.jobs.paused_tasks import Pause, counts_by_task
from host.services import services, unit_of_work
from host.web.routes import Routes
from tenants.models import Tenant

routes = Routes()


class OperatorJobQuery(JobQuery):
    """Which jobs of the deployment to list; `tenant_id` selects one organisation."""

    tenant_id: UUID | None = None


class Pausing(BaseModel):
    """The reason for pausing a task; it is shown with every job that waits."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class OperatorJobSummary(JobSummary):
    """A job in an operator's list; `tenant_id` and `tenant`, its slug, are null for the deployment's own."""

    tenant_id: UUID | None
    tenant: str | None = None


class OperatorJob(JobDetails):
    """All fields of a job that operators see."""

    tenant_id: UUID | None


class Paused(BaseModel):
    """Why a task is paused, by whom and since when."""

    reason: str
    by: str
    at: datetime


class TaskSummary(BaseModel):
    """A task, and the number of its jobs in each state. every: seconds between runs of a scheduled task."""

    task: str
    plugin: str
    summary: str
    every: float | None
    at: str | None
    paused: Paused | None
    jobs: dict[str, int]


@routes.get("/operator/jobs", name="operator.jobs.list", operator=True, needs_tenant=False, returns=OperatorJobSummary)
async def list_all_jobs(query: OperatorJobQuery) -> Page:
    """Every job of the deployment, the newest first."""
    page = await page_of(query, query.tenant_id, OperatorJobSummary)
    tenants = Tenant.filter(id__in={row.tenant_id for row in page.items if row.tenant_id})
    slugs = dict(await tenants.values_list("id", "slug"))
    return replace(page, items=[row.model_copy(update={"tenant": slugs.get(row.tenant_id)}) for row in page.items])


@routes.get(
    "/operator/jobs/tasks", name="operator.tasks.list", operator=True, needs_tenant=False, returns=list[TaskSummary]
)
async def list_tasks() -> list[TaskSummary]:
    """Every task that is loaded or has jobs, with its jobs by state and whether it is paused."""
    counts, paused, tasks = await counts_by_task(), await services().paused_tasks.all(), services().tasks
    return [
        _task(name, tasks.get(name), counts.get(name, {}), paused.get(name))
        for name in sorted({*tasks, *counts, *paused})
    ]


@routes.get(
    "/operator/jobs/<uuid:job_id>", name="operator.jobs.read", operator=True, needs_tenant=False, returns=OperatorJob
)
async def read_any_job(job_id: UUID) -> OperatorJob:
    """One job of any organisation, redacted as its members see it."""
    return OperatorJob(**snapshot_of(await _any(job_id)))


@routes.post(
    "/operator/jobs/<uuid:job_id>/retry",
    name="operator.jobs.retry",
    operator=True,
    needs_tenant=False,
    returns=OperatorJob,
)
async def retry_any_job(job_id: UUID) -> OperatorJob:
    """Run a failed or cancelled job again; the organisation's records say that an operator did."""
    return OperatorJob(**snapshot_of(await again(await _any(job_id))))


@routes.post(
    "/operator/jobs/<uuid:job_id>/cancel",
    name="operator.jobs.cancel",
    operator=True,
    needs_tenant=False,
    returns=OperatorJob,
)
async def cancel_any_job(job_id: UUID) -> OperatorJob:
    """Cancel a job; the organisation's records say that an operator did."""
    return OperatorJob(**snapshot_of(await called_off(await _any(job_id))))


@routes.post(
    "/operator/jobs/tasks/<task>/pause",
    name="operator.tasks.pause",
    operator=True,
    needs_tenant=False,
    returns=TaskSummary,
)
async def pause_task(task: str, body: Pausing) -> TaskSummary:
    """Hold a task back.

    Hold the task's jobs back in every process within seconds, new ones too; running ones may finish.
    """
    if task not in services().tasks:
        raise NotFound("No plugin loaded here has such a task.")
    async with unit_of_work() as work:
        parked = await services().paused_tasks.pause(task, body.reason, actor().label)
        work.record("operator.tasks.pause", "task", task, after={"reason": body.reason, "parked": parked})
    return await _summary(task)


@routes.post(
    "/operator/jobs/tasks/<task>/resume",
    name="operator.tasks.resume",
    operator=True,
    needs_tenant=False,
    returns=TaskSummary,
)
async def resume_task(task: str) -> TaskSummary:
    """Let a task's jobs run again, including those that were held back."""
    async with unit_of_work() as work:
        queued = await services().paused_tasks.resume(task)
        if queued is not None:
            work.record("operator.tasks.resume", "task", task, after={"queued": queued})
    if queued is None:
        if task not in services().tasks:
            raise NotFound("No plugin loaded here has such a task.")
        raise Conflict("This task is not paused.")
    return await _summary(task)


async def _any(job_id: UUID) -> Job:
    job = await Job.get_or_none(id=job_id)
    if job is None:
        raise NotFound
    return job


async def _summary(name: str) -> TaskSummary:
    counts, paused = await counts_by_task(name), await services().paused_tasks.all()
    return _task(name, services().tasks.get(name), counts.get(name, {}), paused.get(name))


def _task(name: str, task: Task | None, jobs: Mapping[str, int], paused: Pause | None) -> TaskSummary:
    return TaskSummary(
        task=name,
        plugin=name.partition(".")[0],
        summary=task.summary if task else "",
        every=task.every.total_seconds() if task and task.every else None,
        at=f"{task.at} ({task.zone})" if task and task.at else None,
        paused=Paused(reason=paused.reason, by=paused.by, at=paused.at) if paused else None,
        jobs=dict(jobs),
    )
