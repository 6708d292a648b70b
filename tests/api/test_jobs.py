"""`/jobs` and `/operator/jobs`: what becomes of background work, for those who may know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

from host.contracts import Actor, Origin
from host.jobs.catalog import JobDraft
from host.jobs.models import Job, JobState
from host.jobs.paused_tasks import FRESH
from host.testing import Client, TwoTenants
from tenants.models import Tenant, User

TASK = "host.sweep"
TOKEN = "kJ3nV9xQ2mR7tY5wZ8bC1dF4gH6"


@pytest.fixture
async def operator(two_tenants: TwoTenants) -> Client:
    with two_tenants.application.inner.bound():
        user = await User.create(email="operator@example.com", name="Op", is_operator=True)
        return await two_tenants.application.sign_in(user, await Tenant.get(slug="acme"))


async def accept(two_tenants: TwoTenants, whose: Client | None, **more: Any) -> str:
    """A job on record; the rest of its columns as given."""
    draft_fields = {name: more.pop(name) for name in ("task", "arguments", "origin") if name in more}
    draft = JobDraft(**{"task": TASK, **draft_fields}, tenant_id=whose.tenant_id if whose else None)
    with two_tenants.application.inner.bound():
        await two_tenants.application.inner.services.job_store.store([draft])
        if more:
            await Job.filter(id=draft.id).update(**more)
    return str(draft.id)


async def ids(client: Client, query: str = "") -> list[str]:
    return [row["id"] for row in await client.ask("GET", f"/jobs?{query}")]


async def test_jobs_when_listed_then_only_the_organisations_own_the_newest_first(two_tenants: TwoTenants) -> None:
    first = await accept(two_tenants, two_tenants.acme)
    foreign = await accept(two_tenants, two_tenants.globex)
    await accept(two_tenants, None)
    second = await accept(two_tenants, two_tenants.acme)
    mine = await ids(two_tenants.acme)
    assert mine[:2] == [second, first]
    assert foreign not in mine
    assert foreign in await ids(two_tenants.globex)
    [row, *_] = await two_tenants.acme_admin.ask("GET", "/jobs")
    assert "arguments" not in row
    assert (row["task"], row["plugin"], row["state"], row["tries"]) == (TASK, "host", "queued", 3)


async def test_jobs_when_filtered_then_only_those_that_fit(two_tenants: TwoTenants) -> None:
    acme = two_tenants.acme
    failed = await accept(two_tenants, acme, state=JobState.FAILED, error="100% of it BROKE_down")
    other = await accept(two_tenants, acme, task="mail.send")
    old = await accept(two_tenants, acme, created_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert await ids(acme, "state=failed") == [failed]
    assert await ids(acme, "task=mail.send") == [other]
    assert await ids(acme, "plugin=mail") == [other]
    assert await ids(acme, "task=mail") == []
    assert await ids(acme, "search=broke_") == [failed]
    assert await ids(acme, f"search={quote('100% of')}") == [failed]
    assert await ids(acme, f"search={quote('0%BROKE')}") == []
    assert await ids(acme, "search=mail.s") == [other]
    assert await ids(acme, f"search={old}") == [old]
    assert await ids(acme, f"to={quote('2021-01-01T00:00:00+00:00')}") == [old]
    assert old not in await ids(acme, f"from={quote('2021-01-01T01:00:00+01:00')}&limit=100")
    assert await ids(acme, f"from={quote('2021-01-01T00:00:00Z')}&to={quote('2020-01-01T00:00:00Z')}") == []


@pytest.mark.parametrize(
    "query",
    ["state=gone", "from=yesterday", "limit=0", "limit=101", f"search={'x' * 201}",
     "sort=id", f"task={'x' * 201}", "user=1", f"tenant_id={UUID(int=7)}"],
)  # fmt: skip
async def test_jobs_when_asked_wrongly_then_told_which_field(two_tenants: TwoTenants, query: str) -> None:
    error = await two_tenants.acme.ask("GET", f"/jobs?{query}", 422)
    assert query.partition("=")[0] in error["details"]


async def test_jobs_when_paged_then_each_comes_once_and_a_cursor_is_good_for_its_list_only(
    two_tenants: TwoTenants,
) -> None:
    made = [await accept(two_tenants, two_tenants.acme, task="mail.send") for _ in range(5)]
    seen, cursor = [], ""
    while True:
        answer = (await two_tenants.acme.get(f"/api/v1/jobs?task=mail.send&limit=2{cursor}")).json()
        seen += [row["id"] for row in answer["data"]]
        if answer["meta"]["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['meta']['next_cursor']}"
    assert seen == made[::-1]
    await two_tenants.acme.ask("GET", f"/jobs?limit=2{cursor}", 400)
    await two_tenants.globex.ask("GET", f"/jobs?task=mail.send&limit=2{cursor}", 400)
    await two_tenants.acme.ask("GET", "/jobs?cursor=nonsense", 400)


async def test_job_when_read_then_shows_all_but_secrets_links_and_tokens(two_tenants: TwoTenants) -> None:
    person = uuid4()
    job_id = await accept(
        two_tenants,
        two_tenants.acme,
        task="mail.send",
        arguments={
            "to": "a@b.example", "thing": str(person), "token": "hush", "note": f"use {TOKEN} at https://x.example/r/{TOKEN}",
        },
        origin=Origin("the-request", Actor("user", person, "ada@acme.example", person), "10.0.0.9", "Browser"),
        state=JobState.RUNNING, worker="machine-1", attempts=2, progress=0.25, error=f"Bearer {TOKEN} refused",
        started_at=datetime.now(UTC),
    )  # fmt: skip
    job = await two_tenants.acme.ask("GET", f"/jobs/{job_id}")
    assert job["arguments"] == {
        "to": "a@b.example", "thing": str(person), "token": "•••", "note": "use ••• at https://x.example/•••",
    }  # fmt: skip
    assert (job["error"], job["progress"], job["attempts"], job["worker"]) == (
        "Bearer ••• refused",
        0.25,
        2,
        "machine-1",
    )
    assert (job["request_id"], job["started_by"]) == ("the-request", str(person))
    assert job["started_at"] is not None
    assert job["finished_at"] is None
    assert TOKEN not in str(job)
    assert "10.0.0.9" not in str(job)
    assert "tenant_id" not in job


async def test_job_when_it_is_somebody_elses_then_as_one_that_never_was(
    two_tenants: TwoTenants, operator: Client
) -> None:
    foreign = await accept(two_tenants, two_tenants.globex, state=JobState.FAILED)
    nobodys = await accept(two_tenants, None, state=JobState.FAILED)
    for method, tail in (("GET", ""), ("POST", "/retry"), ("POST", "/cancel")):
        random = await two_tenants.acme.ask(method, f"/jobs/{uuid4()}{tail}", 404)
        for job_id in (foreign, nobodys):
            answer = await two_tenants.acme.ask(method, f"/jobs/{job_id}{tail}", 404)
            assert {**answer, "request_id": ""} == {**random, "request_id": ""}
        await operator.ask(method, f"/operator/jobs/{uuid4()}{tail}", 404)
    with two_tenants.application.inner.bound():
        assert await Job.filter(id__in=[foreign, nobodys], state=JobState.FAILED).count() == 2


async def test_jobs_when_asked_without_permission_then_refused(two_tenants: TwoTenants) -> None:
    job_id = await accept(two_tenants, two_tenants.acme, state=JobState.FAILED)
    for client in (two_tenants.acme_member, two_tenants.acme_viewer):
        for method, path in (
            ("GET", ""),
            ("GET", f"/{job_id}"),
            ("POST", f"/{job_id}/retry"),
            ("POST", f"/{job_id}/cancel"),
        ):
            await client.ask(method, f"/jobs{path}", 403)
    await two_tenants.anonymous.ask("GET", "/jobs", 401)
    for method, path in (
        ("GET", ""), ("GET", "/tasks"), ("GET", f"/{job_id}"), ("POST", f"/{job_id}/retry"),
        ("POST", f"/{job_id}/cancel"), ("POST", f"/tasks/{TASK}/resume"),
    ):  # fmt: skip
        await two_tenants.acme.ask(method, f"/operator/jobs{path}", 403)
    await two_tenants.acme.ask("POST", f"/operator/jobs/tasks/{TASK}/pause", 403, json={"reason": "x"})


async def test_job_when_retried_or_cancelled_then_changes_once_and_is_recorded(two_tenants: TwoTenants) -> None:
    acme = two_tenants.acme_admin
    job_id = await accept(two_tenants, acme, state=JobState.FAILED, attempts=3, error="it broke")
    again = await acme.ask("POST", f"/jobs/{job_id}/retry")
    assert (again["state"], again["attempts"]) == ("queued", 0)
    refused = await acme.ask("POST", f"/jobs/{job_id}/retry", 409)
    assert refused["details"] == {"state": "queued"}
    off = await acme.ask("POST", f"/jobs/{job_id}/cancel")
    assert off["state"] == "cancelled"
    refused = await acme.ask("POST", f"/jobs/{job_id}/cancel", 409)
    assert (refused["code"], refused["details"]) == ("CONFLICT", {"state": "cancelled"})
    done = await accept(two_tenants, acme, state=JobState.DONE)
    await acme.ask("POST", f"/jobs/{done}/retry", 409)
    await acme.ask("POST", f"/jobs/{done}/cancel", 409)
    found = await two_tenants.acme.ask("GET", f"/audit/resources/job/{job_id}")
    entries = [entry for entry in found if entry["outcome"] == "succeeded"]
    assert [entry["action"] for entry in entries] == ["tenant.jobs.cancel", "tenant.jobs.retry"]
    assert entries[1]["before"] == {"state": "failed", "task": TASK}


async def test_operator_when_looking_after_jobs_then_sees_all_and_the_organisation_sees_who_did_it(
    two_tenants: TwoTenants, operator: Client
) -> None:
    theirs = await accept(two_tenants, two_tenants.globex, state=JobState.FAILED, arguments={"token": "hush"})
    nobodys = await accept(two_tenants, None, state=JobState.FAILED)
    rows = await operator.ask("GET", "/operator/jobs?state=failed")
    assert [(row["id"], row["tenant_id"]) for row in rows] == [
        (nobodys, None),
        (theirs, str(two_tenants.globex.tenant_id)),
    ]
    assert [row["tenant"] for row in rows][-1] == "globex"
    rows = await operator.ask("GET", f"/operator/jobs?state=failed&tenant_id={two_tenants.globex.tenant_id}")
    assert [row["id"] for row in rows] == [theirs]
    assert (await operator.ask("GET", f"/operator/jobs/{theirs}"))["arguments"] == {"token": "•••"}
    for job_id in (theirs, nobodys):
        assert (await operator.ask("POST", f"/operator/jobs/{job_id}/retry"))["state"] == "queued"
        assert (await operator.ask("POST", f"/operator/jobs/{job_id}/cancel"))["state"] == "cancelled"
        await operator.ask("POST", f"/operator/jobs/{job_id}/cancel", 409)
    found = await two_tenants.globex.ask("GET", f"/audit/resources/job/{theirs}")
    [cancelled, retried] = [entry for entry in found if entry["outcome"] == "succeeded"]
    assert (cancelled["action"], retried["action"]) == ("tenant.jobs.cancel", "tenant.jobs.retry")
    assert retried["actor_id"] == str(operator.user_id)
    assert await two_tenants.acme.ask("GET", f"/audit/resources/job/{theirs}") == []


async def test_task_when_paused_then_its_jobs_wait_everywhere_with_the_reason_and_run_when_resumed(
    two_tenants: TwoTenants, operator: Client
) -> None:
    application = two_tenants.application.inner
    waiting = await accept(two_tenants, two_tenants.acme)
    other = await accept(two_tenants, two_tenants.acme, task="host.finish_switch", arguments={"plugin_id": "projects"})
    paused = await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/pause", json={"reason": "it fills the disk"})
    assert paused["paused"] | {"at": ""} == {"reason": "it fills the disk", "by": "operator@example.com", "at": ""}
    assert paused["jobs"]["parked"] >= 1
    later = await accept(two_tenants, two_tenants.globex)
    await two_tenants.application.run_jobs()
    for client, job_id in ((two_tenants.acme, waiting), (two_tenants.globex, later)):
        job = await client.ask("GET", f"/jobs/{job_id}")
        assert (job["state"], job["error"]) == ("parked", "paused by an operator: it fills the disk")
        assert job["attempts"] == 0
    assert (await two_tenants.acme.ask("GET", f"/jobs/{other}"))["state"] == "done"
    with application.bound():
        assert await application.reconciler.unpark() == 0
    resumed = await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/resume")
    assert (resumed["paused"], resumed["jobs"]["queued"]) == (None, 2)
    await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/resume", 409)
    await two_tenants.application.run_jobs()
    assert (await two_tenants.acme.ask("GET", f"/jobs/{waiting}"))["state"] == "done"
    assert (await two_tenants.globex.ask("GET", f"/jobs/{later}"))["state"] == "done"


async def test_task_when_paused_by_another_process_then_known_within_a_second_and_after_a_restart(
    two_tenants: TwoTenants,
) -> None:
    from host.jobs.paused_tasks import PausedTasks

    application = two_tenants.application.inner
    clock = [100.0]
    here, there = PausedTasks(lambda: clock[0]), PausedTasks()
    with application.bound():
        assert await here.reason(TASK) == ""
        await there.pause(TASK, "elsewhere", "somebody")
        assert await here.reason(TASK) == "", "not asked again for every job"
        clock[0] += FRESH
        assert await here.reason(TASK) == "paused by an operator: elsewhere"
        assert await PausedTasks().reason(TASK) != "", "a new process reads it"
        assert await there.resume(TASK) == 0
        assert await there.resume(TASK) is None
        clock[0] += FRESH
        assert await here.reason(TASK) == ""


async def test_schedule_when_its_task_is_paused_then_adds_nothing_and_catches_up_when_resumed(
    two_tenants: TwoTenants, operator: Client
) -> None:
    application = two_tenants.application.inner
    long_ago = datetime.now(UTC) - timedelta(days=50)  # what a schedule missed since is made up for
    await application.services.database.execute("UPDATE tenants SET created_at = $1", long_ago)
    await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/pause", json={"reason": "x"})
    with application.bound():
        await application.reconciler.fan_out()
        assert await Job.filter(task=TASK).count() == 0
    await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/resume")
    with application.bound():
        await application.reconciler.fan_out()
        assert await Job.filter(task=TASK).count() == 2


async def test_tasks_when_listed_then_each_with_its_jobs_by_state(two_tenants: TwoTenants, operator: Client) -> None:
    for state in (JobState.FAILED, JobState.FAILED, JobState.QUEUED):
        await accept(two_tenants, two_tenants.acme, task="gone.task", state=state)
    rows = {row["task"]: row for row in await operator.ask("GET", "/operator/jobs/tasks")}
    assert rows["gone.task"]["jobs"] == {"failed": 2, "queued": 1}
    shown = {name: rows[TASK][name] for name in ("every", "at", "paused", "plugin")}
    assert shown == {"every": None, "at": "0 2 * * * (tenant)", "paused": None, "plugin": "host"}
    assert rows[TASK]["summary"].startswith("Forget")
    await operator.ask("POST", "/operator/jobs/tasks/gone.task/pause", 404, json={"reason": "x"})
    await operator.ask("POST", "/operator/jobs/tasks/gone.task/resume", 404)
    for body in ({}, {"reason": "  "}, {"reason": "x" * 501}, {"reason": "x", "y": 1}):
        await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/pause", 422, json=body)


async def test_job_when_cancelled_while_its_tenant_is_told_then_ids_are_uuids_only(two_tenants: TwoTenants) -> None:
    await two_tenants.acme.ask("GET", "/jobs/not-a-uuid", 404)
    await two_tenants.acme.ask("GET", f"/jobs/{UUID(int=0)}", 404)
    long_ago = await accept(two_tenants, two_tenants.acme, run_at=datetime.now(UTC) + timedelta(days=3650))
    assert (await two_tenants.acme.ask("POST", f"/jobs/{long_ago}/cancel"))["state"] == "cancelled"


async def test_job_when_it_failed_for_a_reason_of_ours_then_only_operators_read_what_python_said(
    two_tenants: TwoTenants, operator: Client
) -> None:
    for error, told in (
        ("KeyError: 'projects.projcts'", "reason of this deployment's own"),
        ("UndefinedTableError", "reason of this deployment's own"),
        ("the provider refused it: 550 no such user", "550 no such user"),
    ):
        job_id = await accept(two_tenants, two_tenants.acme, state=JobState.FAILED, error=error)
        assert told in (await two_tenants.acme.ask("GET", f"/jobs/{job_id}"))["error"]
        assert (await operator.ask("GET", f"/operator/jobs/{job_id}"))["error"] == error
