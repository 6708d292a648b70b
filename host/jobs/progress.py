"""Watching: what is told of a job's run: facts on every line, one line of its own, and a span where it is traced."""

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
    """Lines written in the block name the job with its tenant, its plugin, and the request and trace it comes from."""
    _, _, trace_and_rest = job.origin.get("traceparent", "").partition("-")
    facts = {
        "job": str(job.id),
        "task": job.task,
        "plugin": job.plugin,
        "tenant": str(job.tenant_id or ""),
        "request": job.origin.get("request_id", ""),
        "user": job.origin.get("user_id") or "",
        "trace": trace_and_rest.partition("-")[0],
    }
    return about(**{name: value for name, value in facts.items() if value})


@contextmanager
def observe_run(jobs: Sequence[Job]) -> Iterator[list[BaseException | None]]:
    """One run of a task, within the jobs' standing. Put into the list what came of each; what is raised came of all."""
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
            words = Counter(_word(outcome) for outcome in outcomes)
            for word, number in words.items():
                count("tenantry_job_runs_total", number, task=job.task, outcome=word)
            said = ", ".join(word if len(jobs) == 1 else f"{number} {word}" for word, number in words.items())
            milliseconds = round(seconds * 1000, 1)
            run_line(f"{job.task} {said}", {"task": job.task, "attempt": job.attempts, "ms": milliseconds})


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
    here = tracing()
    if here is None:
        return nullcontext()
    facts = {
        "tenantry.job": str(job.id),
        "tenantry.task": job.task,
        "tenantry.plugin": job.plugin,
        "tenantry.tenant": str(job.tenant_id or ""),
        "tenantry.request": job.origin.get("request_id", ""),
        "tenantry.attempt": job.attempts,
    }
    known = {name: value for name, value in facts.items() if value}
    return here.job(job.task, job.origin.get("traceparent", ""), known)
