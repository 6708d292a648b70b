"""`/jobs` endpoints: list, read, retry and cancel an organisation's background jobs.

A job's arguments and error are shown as redacted by `host.redaction`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from host.contracts import Events, LiveMessage, Page
from host.data import cursors
from host.errors import Conflict, NotFound
from host.execution_context import actor, as_plugin, in_tenant
from host.input_types import Instant
from host.job_progress import JOBS
from host.jobs import search
from host.jobs.job_store import FINAL
from host.jobs.models import Job, JobState
from host.live_channels import live
from host.redaction import redacted, redacted_text
from host.services import services, unit_of_work
from host.web.routes import Routes
from tenants.context import current

routes = Routes()
Text = Annotated[str, StringConstraints(max_length=200)]
_LOOK_EVERY = 1.0  # seconds
_AGAIN = (JobState.FAILED, JobState.CANCELLED)
_DONE = {"retry": "run again", "cancel": "called off"}
_OPEN = tuple(state for state in JobState if state not in FINAL)


class JobQuery(BaseModel):
    """Which jobs to list, the newest first. `search`: part of the task's name or the error, or a job's id."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, StringConstraints(max_length=1000)] | None = None
    state: JobState | None = None
    task: Text = ""
    plugin: Text = ""
    since: Instant | None = Field(default=None, alias="from")
    before: Instant | None = Field(default=None, alias="to")
    search: Text = ""


class JobSummary(BaseModel):
    """A job in a list. progress: 0..1. tries: attempts allowed in all; 0 while its task is not loaded here.

    about: its arguments in one short line, such as the message it delivers.
    """

    id: UUID
    task: str
    plugin: str
    summary: str
    about: str
    state: JobState
    priority: int
    attempts: int
    tries: int
    progress: float
    error: str
    run_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobDetails(JobSummary):
    """All shown fields of a job. request_id, started_by: the request that queued it, and the id of its user."""

    arguments: dict[str, Any]
    worker: str | None
    request_id: str
    started_by: UUID | None


@routes.get("/jobs", name="jobs.list", permission="tenant.jobs.read", returns=JobSummary)
async def list_jobs(query: JobQuery) -> Page:
    """The organisation's jobs, the newest first."""
    return await page_of(query, current(), JobSummary)


@routes.get("/jobs/<uuid:job_id>", name="jobs.read", permission="tenant.jobs.read", returns=JobDetails)
async def read_job(job_id: UUID) -> JobDetails:
    """One job with its arguments; secrets, links and tokens in them are hidden."""
    return JobDetails(**snapshot_of(await _own(job_id)))


@routes.get("/jobs/<uuid:job_id>/events", name="jobs.follow", permission="tenant.jobs.read")
async def follow_job(job_id: UUID) -> Events:
    """A job's state and progress as they change.

    The first event `job` says how it is now; after the one that says how it ended, the stream ends.
    """
    await _own(job_id)
    return Events(lambda after: _changes(job_id))


async def _changes(job_id: UUID) -> AsyncIterator[LiveMessage]:
    """What a job's row shows, whenever it is another: looked at for each message, and every second for all else."""
    shown = None
    async with aclosing(live(JOBS.name).follow(str(job_id))) as messages:
        coming = asyncio.ensure_future(anext(messages, None))
        try:
            while True:
                job = await _own(job_id)
                seen = {"state": job.state.value, "progress": job.progress, "attempts": job.attempts}
                if seen != shown:
                    yield LiveMessage("job", seen)
                    shown = seen
                if job.state in FINAL:
                    return
                await asyncio.wait([coming], timeout=_LOOK_EVERY)
                if coming.done():
                    if coming.result() is None:
                        return
                    coming = asyncio.ensure_future(anext(messages, None))
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


@routes.post("/jobs/<uuid:job_id>/retry", name="jobs.retry", permission="tenant.jobs.update", returns=JobDetails)
async def retry_job(job_id: UUID) -> JobDetails:
    """Run a failed or cancelled job again, with all its attempts; 409 in any other state."""
    return JobDetails(**snapshot_of(await again(await _own(job_id))))


@routes.post("/jobs/<uuid:job_id>/cancel", name="jobs.cancel", permission="tenant.jobs.update", returns=JobDetails)
async def cancel_job(job_id: UUID) -> JobDetails:
    """Call it off.

    Cancel a job; a running one is interrupted at its worker's next heartbeat; 409 when it has ended.
    """
    return JobDetails(**snapshot_of(await called_off(await _own(job_id))))


async def page_of(query: JobQuery, tenant_id: UUID | None, kind: type[JobSummary]) -> Page:
    """A page of the jobs that match, of one organisation or (None) of all, each as `kind` shows it."""
    criteria = search.JobFilter(
        tenant_id, query.state, query.task, query.plugin, query.since, query.before, query.search.strip()
    )
    key, scope = services().database.cursor_key, (kind.__name__, *criteria.scope)
    after = UUID(str(cursors.decode(key, scope, query.cursor)[0])) if query.cursor else None
    jobs = list(await search.page(criteria, query.limit + 1, after))
    more, page = len(jobs) > query.limit, jobs[: query.limit]
    rows = [kind(**snapshot_of(job, whole=False)) for job in page]
    return Page(rows, query.limit, cursors.encode(key, scope, [str(page[-1].id)]) if more else None)


async def _own(job_id: UUID) -> Job:
    job = await Job.get_or_none(id=job_id, tenant_id=current())
    if job is None:
        raise NotFound
    return job


async def again(job: Job) -> Job:
    """Run a failed or cancelled job again and call its task's `on_retry`; recorded in the job's tenant.

    Raises:
        Conflict: the job is in another state, or its task refuses.
        ApiError: any other refusal of the task, such as a plan's limit.
    """
    task = services().tasks.get(job.task)
    return await _changed(job, "retry", _AGAIN, services().job_store.retry, task.on_retry if task else None)


async def called_off(job: Job) -> Job:
    """Cancel a job and call its task's `on_cancel`; recorded in the job's tenant.

    Raises:
        Conflict: the job has ended, or its task refuses.
    """
    task = services().tasks.get(job.task)
    return await _changed(job, "cancel", _OPEN, services().job_store.cancel, task.on_cancel if task else None)


async def _changed(
    job: Job,
    verb: str,
    allowed: tuple[JobState, ...],
    change: Callable[[UUID], Awaitable[bool]],
    call: Callable[[Mapping[str, Any]], Awaitable[object]] | None,
) -> Job:
    """Change a job's state, call its task and record the change in one transaction; returns the changed job.

    call: the task's own part, which may refuse the change.
    """
    done = False
    tenant = await services().snapshots.tenant(job.tenant_id, None) if job.tenant_id else None
    with in_tenant(tenant):
        async with unit_of_work() as work:
            done = job.state in allowed and await change(job.id)
            if done and call is not None:
                await _call_task(call, job)
            if done:
                before = {"state": job.state.value, "task": job.task}
                work.record(f"tenant.jobs.{verb}", "job", job.id, before=before)
    fresh = await Job.get_or_none(id=job.id)
    if fresh is None:
        raise NotFound
    if not done:
        state = fresh.state.value
        raise Conflict(f"A job that is {state} cannot be {_DONE[verb]}.", details={"state": state})
    return fresh


async def _call_task(call: Callable[[Mapping[str, Any]], Awaitable[object]], job: Job) -> None:
    with as_plugin(job.plugin):
        try:
            await call(job.arguments)
        except NotFound as error:
            raise Conflict("What this job is about does not exist any more.") from error


# An error that begins with the name of an exception class is not a message written for people.
_EXCEPTION_NAME = re.compile(r"[A-Z]\w*[a-z]\w*(?:: |$)|[A-Z]\w*Error\b")


def _for_tenants(error: str) -> str:
    return (
        "It failed for a reason of this deployment's own, which its operators can see."
        if _EXCEPTION_NAME.match(error)
        else error
    )


def snapshot_of(job: Job, *, whole: bool = True) -> dict[str, Any]:
    """The columns fields of a job; whole: with its arguments."""
    task = services().tasks.get(job.task)
    arguments = redacted(job.arguments, public=task.public if task else ())
    columns = ("id", "task", "plugin", "tenant_id", "state", "priority", "attempts", "progress", "worker")
    times = ("run_at", "created_at", "started_at", "finished_at")
    return {
        **{name: getattr(job, name) for name in (*columns, *times)},
        "summary": task.summary if task else "",
        "about": about(arguments),
        "tries": job.tries or (task.tries if task else 0),
        "error": redacted_text(job.error if actor().is_operator else _for_tenants(job.error), 4000),
        "arguments": arguments if whole else {},
        "request_id": job.origin.get("request_id", ""),
        "started_by": job.origin.get("user_id"),
    }


def about(arguments: object) -> str:
    """The plain values among a job's redacted arguments, in one short line."""
    if not isinstance(arguments, dict):
        return ""
    plain = {
        name: value for name, value in arguments.items() if isinstance(value, str | int) and value not in ("", False)
    }
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in plain.items())[:200]
