"""`tenantry jobs`: what is on record, tried again and called off."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from host.cli.open_application import opened
from host.jobs.models import Job, JobState


async def change(job_id: str, state: JobState) -> None:
    async with opened():
        await Job.filter(id=job_id).update(state=state, error="it broke" if state is JobState.FAILED else "")


@pytest.fixture
def job(tenantry, request: pytest.FixtureRequest) -> str:
    """The job that every new tenant leaves behind, queued."""
    slug = tenantry("tenant", "create", f"jobs {uuid4().hex[:8]}")["slug"]
    return tenantry("jobs", "list", "--tenant", slug, "--plugin", "host")[0]["id"]


def test_jobs_when_listed_then_can_be_narrowed_down(tenantry, job: str) -> None:
    assert job in [row["id"] for row in tenantry("jobs", "list", "--state", "queued", "--plugin", "host")]
    assert job not in [row["id"] for row in tenantry("jobs", "list", "--state", "done")]
    assert tenantry("jobs", "list", "--tenant", "nowhere", code=1)["code"] == "NOT_FOUND"
    assert job in tenantry.run("jobs", "list").output


def test_job_when_shown_then_everything_on_record_is(tenantry, job: str) -> None:
    shown = tenantry("jobs", "show", job)
    assert shown["task"] == "host.tenant_created"
    assert shown["origin"]["by"].startswith("command line")
    assert tenantry("jobs", "show", str(uuid4()), code=1)["code"] == "NOT_FOUND"


def test_job_when_cancelled_then_needs_a_yes_and_can_be_retried(tenantry, job: str) -> None:
    assert tenantry("jobs", "cancel", job, code=1)["code"] == "NOT_CONFIRMED"
    assert tenantry("jobs", "cancel", job, "--dry-run")["would_cancel"] == [job]
    assert tenantry("jobs", "cancel", job, "--yes")["cancelled"] == [job]
    assert tenantry("jobs", "show", job)["state"] == "cancelled"
    assert tenantry("jobs", "cancel", job, "--yes", code=1)["code"] == "CONFLICT"
    assert tenantry("jobs", "retry", job)["retried"] == [job]
    assert tenantry("jobs", "show", job)["state"] == "queued"
    assert tenantry("jobs", "retry", job, code=1)["code"] == "CONFLICT"


def test_failed_jobs_when_all_are_retried_then_are_queued_again(tenantry, job: str) -> None:
    asyncio.run(change(job, JobState.FAILED))
    assert tenantry("jobs", "show", job)["error"] == "it broke"
    assert tenantry("jobs", "retry", "--all-failed", "--dry-run")["would_retry"] == [job]
    assert tenantry("jobs", "retry", "--all-failed", "--yes")["retried"] == [job]
    assert tenantry("jobs", "list", "--state", "failed") == []


def test_retry_when_nothing_is_named_then_asks_which(tenantry) -> None:
    assert "--all-failed" in tenantry("jobs", "retry", code=1)["fix"]


def test_task_when_paused_then_its_jobs_wait_with_the_reason_until_it_is_resumed(tenantry, job: str) -> None:
    assert tenantry("jobs", "pause", "host.nothing", "--reason", "x", code=1)["code"] == "NOT_FOUND"
    assert tenantry("jobs", "resume", "host.tenant_created", code=1)["code"] == "CONFLICT"
    assert tenantry("jobs", "pause", "host.tenant_created", "--reason", "too many at once")["parked"] >= 1
    shown = tenantry("jobs", "show", job)
    assert (shown["state"], shown["error"]) == ("parked", "paused by an operator: too many at once")
    [row] = [row for row in tenantry("jobs", "tasks") if row["task"] == "host.tenant_created"]
    assert row["paused"] == "too many at once"
    assert "parked" in row["jobs"]
    assert tenantry("jobs", "resume", "host.tenant_created")["queued"] >= 1
    assert tenantry("jobs", "show", job)["state"] == "queued"


def test_task_when_run_by_hand_then_a_job_of_that_tenant_is_stored_with_its_arguments(tenantry) -> None:
    slug = tenantry("tenant", "create", f"run {uuid4().hex[:8]}")["slug"]
    told = tenantry(
        "jobs", "run", "host.finish_switch", "--tenant", slug, "--argument", "plugin_id=projects", "--wait", "0"
    )
    assert (told["task"], told["arguments"], told["state"]) == (
        "host.finish_switch",
        {"plugin_id": "projects"},
        "queued",
    )
    assert told["id"] in [row["id"] for row in tenantry("jobs", "list", "--tenant", slug)]


def test_task_when_run_by_hand_and_there_is_none_then_the_nearest_is_named(tenantry) -> None:
    slug = tenantry("tenant", "create", f"run {uuid4().hex[:8]}")["slug"]
    assert "host.sweep" in tenantry("jobs", "run", "host.sweeep", "--tenant", slug, code=1)["fix"]
    assert tenantry("jobs", "run", "host.sweep", "--tenant", "nowhere", code=1)["code"] == "NOT_FOUND"
    assert "name=value" in tenantry("jobs", "run", "host.sweep", "--tenant", slug, "--argument", "x", code=1)["fix"]
