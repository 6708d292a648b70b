"""`tenantry jobs`: list, show, retry and cancel background jobs; pause and resume tasks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any
from uuid import UUID

import click

from host.api.jobs import about, called_off
from host.api.jobs import again as run_again
from host.cli.command import asynchronous, dry_run_option, yes_option
from host.cli.open_application import opened, tenant
from host.cli.terminal import Complaint, Terminal
from host.errors import ApiError
from host.execution_context import actor, in_tenant
from host.input_errors import nearest
from host.jobs.job_store import FINAL, WAITING
from host.jobs.models import Job, JobState
from host.jobs.paused_tasks import counts_by_task
from host.redaction import redacted, redacted_text
from host.services import services, unit_of_work
from tenants.models import Tenant

COLUMNS = ("id", "tenant", "task", "about", "state", "attempts", "run_at", "error")
FAILED = (JobState.FAILED, JobState.CANCELLED)


@click.group()
def jobs() -> None:
    """List, show, retry and cancel background jobs; pause and resume tasks."""


def facts(job: Job) -> dict[str, Any]:
    """What is shown of a job; its arguments and its error as `host.redaction` says."""
    shown = ("id", "task", "tenant_id", "arguments", "origin", "priority", "key", "run_at", "attempts", "progress")
    times = ("worker", "lease_until", "created_at", "started_at", "finished_at", "error")
    columns = {name: getattr(job, name) for name in (*shown, *times)}
    task = services().tasks.get(job.task)
    arguments = redacted(job.arguments, public=task.public if task else ())
    readable = {"arguments": arguments, "about": about(arguments), "error": redacted_text(job.error, 4000)}
    return {"state": job.state.value, **columns, **readable}


@jobs.command("list")
@click.option("--state", type=click.Choice([state.value for state in JobState]))
@click.option("--tenant", "slug", help="Only this tenant's.")
@click.option("--plugin", help="Only this plugin's.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@asynchronous
async def list_(terminal: Terminal, state: str | None, slug: str | None, plugin: str | None, limit: int) -> None:
    """The newest jobs."""
    async with opened() as application:
        owner = (await tenant(slug)).id if slug else None
        job_state = JobState(state) if state else None
        newest = await application.services.job_store.find(state=job_state, tenant_id=owner, plugin=plugin, limit=limit)
        counts = await application.services.job_store.counts()
        owners = Tenant.filter(id__in={job.tenant_id for job in newest if job.tenant_id})
        slugs = dict(await owners.values_list("id", "slug"))
        rows = [{"tenant": slugs.get(job.tenant_id), **facts(job)} for job in newest]
    terminal.rows(rows, COLUMNS, empty="No such jobs.")
    terminal.say(", ".join(f"{count} {name}" for name, count in counts.items() if count) or "There are no jobs.", "dim")


@jobs.command()
@click.argument("job_id", type=click.UUID)
@asynchronous
async def show(terminal: Terminal, job_id: UUID) -> None:
    """Everything on record about one job."""
    async with opened():
        shown = facts(await _job(job_id))
    terminal.facts(shown)


@jobs.command()
@click.argument("job_ids", type=click.UUID, nargs=-1)
@click.option("--all-failed", is_flag=True, help="Every job that failed.")
@yes_option
@dry_run_option
@asynchronous
async def retry(terminal: Terminal, job_ids: tuple[UUID, ...], all_failed: bool, yes: bool, dry_run: bool) -> None:
    """Run failed or cancelled jobs again, with all their tries."""
    if bool(job_ids) == all_failed:
        raise Complaint("which jobs?", "name their ids, or say --all-failed")
    async with opened():
        if all_failed:
            failed = await Job.filter(state=JobState.FAILED).only("id")
            job_ids = tuple(job.id for job in failed)
        else:
            await _must_be(job_ids, FAILED, "retried")
        if dry_run:
            return terminal.done({"would_retry": list(job_ids)}, f"Would retry {len(job_ids)} jobs.")
        if all_failed:
            terminal.confirm(f"Retry {len(job_ids)} failed jobs?", yes)
        with terminal.progress("retrying", len(job_ids)) as advance:
            again, refused = await _each(job_ids, run_again, advance)
    _told(terminal, "retried", again, refused, f"{len(again)} of {len(job_ids)} jobs are queued again.")


@jobs.command()
@click.argument("job_ids", type=click.UUID, nargs=-1, required=True)
@yes_option
@dry_run_option
@asynchronous
async def cancel(terminal: Terminal, job_ids: tuple[UUID, ...], yes: bool, dry_run: bool) -> None:
    """Cancel jobs; a running one is interrupted at its next heartbeat."""
    async with opened():
        await _must_be(job_ids, (*WAITING, JobState.RUNNING, JobState.PARKED), "cancelled")
        if dry_run:
            return terminal.done({"would_cancel": list(job_ids)}, f"Would cancel {len(job_ids)} jobs.")
        terminal.confirm(f"Cancel {len(job_ids)} jobs?", yes)
        off, refused = await _each(job_ids, called_off)
    _told(terminal, "cancelled", off, refused, f"{len(off)} of {len(job_ids)} jobs are cancelled.")


@jobs.command()
@click.argument("task")
@click.option("--tenant", "slug", required=True, help="In which tenant.")
@click.option(
    "--argument", "given", multiple=True, metavar="NAME=VALUE", help="An argument; the value as JSON, or text."
)
@click.option("--wait", type=click.IntRange(0), default=60, show_default=True, help="Seconds to wait for its end.")
@asynchronous
async def run(terminal: Terminal, task: str, slug: str, given: tuple[str, ...], wait: int) -> None:
    """Run a task now, once, whatever its schedule; a worker or `serve` has to be running."""
    async with opened() as application:
        if task not in application.services.tasks:
            near = nearest(task, application.services.tasks)
            raise Complaint(f"there is no task {task!r}", f"`tenantry jobs tasks` lists them{near}", code="NOT_FOUND")
        arguments = dict(map(_argument, given))
        facts_of = await application.callbacks.snapshot_of((await tenant(slug)).id)
        with in_tenant(facts_of):
            async with unit_of_work() as work:
                job_id = await work.enqueue(task, **arguments)
        job = await _ended(terminal, job_id, wait)
        shown = facts(job)
    sentence = f"Job {job_id} ({task}) of {slug} is {job.state.value}."
    if job.state == JobState.FAILED:
        raise Complaint(f"job {job_id} failed: {redacted_text(job.error, 4000)}", f"see `tenantry jobs show {job_id}`")
    terminal.done(shown, sentence)


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Complaint(f"{text!r} is no argument", "write --argument name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


async def _ended(terminal: Terminal, job_id: UUID, seconds: int) -> Job:
    """The job when it has ended, or when the time is up; tells its progress meanwhile."""
    until, told = monotonic() + seconds, ""
    while True:
        job = await _job(job_id)
        if job.state in FINAL or monotonic() >= until:
            return job
        progress = json.dumps(job.progress) if job.progress else ""
        if progress != told:
            terminal.say(progress, "dim")
            told = progress
        await asyncio.sleep(0.2)


@jobs.command()
@asynchronous
async def drain(terminal: Terminal) -> None:
    """Run every job that is due here and now, beside any workers, until none is left."""
    async with opened() as application:
        count = await application.runner.drain()
    terminal.done({"ran": count}, f"{count} jobs ran.")


@jobs.command()
@asynchronous
async def tasks(terminal: Terminal) -> None:
    """Every task with its jobs by state, and why it is paused."""
    async with opened() as application:
        counts, paused, declared = (
            await counts_by_task(),
            await application.services.paused_tasks.all(),
            application.services.tasks,
        )
    rows = [
        {
            "task": name,
            "jobs": ", ".join(f"{count} {state}" for state, count in sorted(counts.get(name, {}).items())),
            "paused": paused[name].reason if name in paused else "",
        }
        for name in sorted({*declared, *counts, *paused})
    ]
    terminal.rows(rows, ("task", "jobs", "paused"), empty="No tasks.")


@jobs.command()
@click.argument("task")
@click.option("--reason", required=True, help="Why; it is shown with every job that waits.")
@asynchronous
async def pause(terminal: Terminal, task: str, reason: str) -> None:
    """Pause a task in every process, within seconds, until it is resumed; running jobs may finish."""
    async with opened() as application:
        if task not in application.services.tasks:
            raise Complaint(f"there is no task {task!r}", "`tenantry jobs tasks` lists them", code="NOT_FOUND")
        async with unit_of_work() as work:
            parked = await application.services.paused_tasks.pause(task, reason, actor().label)
            work.record("operator.tasks.pause", "task", task, after={"reason": reason, "parked": parked})
    terminal.done({"paused": task, "parked": parked}, f"{task} is paused; {parked} waiting jobs are parked.")


@jobs.command()
@click.argument("task")
@asynchronous
async def resume(terminal: Terminal, task: str) -> None:
    """Let a paused task run again, and what was parked meanwhile."""
    async with opened() as application, unit_of_work() as work:
        queued = await application.services.paused_tasks.resume(task)
        if queued is None:
            raise Complaint(f"{task!r} is not paused", "`tenantry jobs tasks` shows what is", code="CONFLICT")
        work.record("operator.tasks.resume", "task", task, after={"queued": queued})
    terminal.done({"resumed": task, "queued": queued}, f"{task} runs again; {queued} parked jobs are queued.")


async def _each(
    job_ids: Sequence[UUID],
    change: Callable[[Job], Awaitable[Job]],
    advance: Callable[[float], None] = lambda done: None,
) -> tuple[list[UUID], dict[str, str]]:
    """The ids of the jobs that were changed, recorded in their tenants as over HTTP; and why others were not."""
    changed, refused = list[UUID](), dict[str, str]()
    for number, job_id in enumerate(job_ids, 1):
        try:
            changed.append((await change(await _job(job_id))).id)
        except ApiError as error:
            refused[str(job_id)] = error.message
        advance(number)
    return changed, refused


def _told(terminal: Terminal, word: str, changed: list[UUID], refused: dict[str, str], sentence: str) -> None:
    """What was done and what was not; the command fails if something was not."""
    terminal.done({word: changed, "refused": refused}, sentence, *(f"{job}: {why}" for job, why in refused.items()))
    if refused:
        raise SystemExit(1)


async def _must_be(job_ids: tuple[UUID, ...], states: tuple[JobState, ...], verb: str) -> None:
    for job_id in job_ids:
        job = await _job(job_id)
        if job.state not in states:
            raise Complaint(
                f"job {job_id} is {job.state.value} and cannot be {verb}",
                f"only jobs that are {' or '.join(state.value for state in states)} can",
                code="CONFLICT",
            )


async def _job(job_id: UUID) -> Job:
    job = await Job.get_or_none(id=job_id)
    if job is None:
        raise Complaint(
            f"there is no job {job_id} on record", "`tenantry jobs list` shows the newest", code="NOT_FOUND"
        )
    return job
