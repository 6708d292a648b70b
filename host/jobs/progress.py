"""Log, measure and trace each run of a job."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter

from host.instruments import count, observe
from host.jobs.models import Job
from host.jobs.outcomes import GiveUp, Postpone
from host.log import about, run_line
from host.tracing import tracing


def about_job(job: Job) -> AbstractContextManager[None]:
    """Add the job, its task, plugin and tenant, and the request and trace it comes from to log lines of the block."""
    _, _, trace_and_rest = job.origin.get("traceparent", "").partition("-")
    fields = {
        "job": str(job.id),
        "task": job.task,
        "plugin": job.plugin,
        "tenant": str(job.tenant_id or ""),
        "request": job.origin.get("request_id", ""),
        "user": job.origin.get("user_id") or "",
        "trace": trace_and_rest.partition("-")[0],
    }
    return about(**{name: value for name, value in fields.items() if value})


@contextmanager
def observe_run(jobs: Sequence[Job]) -> Iterator[list[BaseException | None]]:
    """Log, measure and trace one run of a task. Append each job's outcome to the list; an exception counts for all."""
    began, job, outcomes = perf_counter(), jobs[0], list[BaseException | None]()
    with _span(job):
        try:
            yield outcomes
        except BaseException as error:
            outcomes[:] = [error] * len(jobs)
            raise
        finally:
            seconds = perf_counter() - began
            observe("tenantry_job_duration_seconds", seconds, task=job.task)
            numbers = Counter(_word(outcome) for outcome in outcomes)
            for word, number in numbers.items():
                count("tenantry_job_runs_total", number, task=job.task, outcome=word)
            summary = ", ".join(word if len(jobs) == 1 else f"{number} {word}" for word, number in numbers.items())
            milliseconds = round(seconds * 1000, 1)
            run_line(f"{job.task} {summary}", {"task": job.task, "attempt": job.attempts, "ms": milliseconds})


def _word(outcome: BaseException | None) -> str:
    match outcome:
        case None:
            return "done"
        case Postpone():
            return "postponed"
        case GiveUp():
            return "given up"
        case asyncio.CancelledError():
            return "interrupted"
    return "failed"


def _span(job: Job) -> AbstractContextManager[object]:
    tracer = tracing()
    if tracer is None:
        return nullcontext()
    attributes = {
        "tenantry.job": str(job.id),
        "tenantry.task": job.task,
        "tenantry.plugin": job.plugin,
        "tenantry.tenant": str(job.tenant_id or ""),
        "tenantry.request": job.origin.get("request_id", ""),
        "tenantry.attempt": job.attempts,
    }
    present = {name: value for name, value in attributes.items() if value}
    return tracer.job(job.task, job.origin.get("traceparent", ""), present)
