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
from host.jobs.pauses import FRESH
from host.testing import Client, Neighbours
from tenants.models import Tenant, User

TASK = "host.sweep"
TOKEN = "kJ3nV9xQ2mR7tY5wZ8bC1dF4gH6"


@pytest.fixture
async def operator(neighbours: Neighbours) -> Client:
    with neighbours.house.inner.bound():
        user = await User.create(email="operator@example.com", name="Op", is_operator=True)
        return await neighbours.house.sign_in(user, await Tenant.get(slug="acme"))


async def accept(neighbours: Neighbours, whose: Client | None, **more: Any) -> str:
    """A job on record; the rest of its columns as given."""
    draft_fields = {name: more.pop(name) for name in ("task", "arguments", "origin") if name in more}
    draft = JobDraft(**{"task": TASK, **draft_fields}, tenant_id=whose.tenant_id if whose else None)
    with neighbours.house.inner.bound():
        await neighbours.house.inner.services.ledger.store([draft])
        if more:
            await Job.filter(id=draft.id).update(**more)
    return str(draft.id)


async def ids(client: Client, query: str = "") -> list[str]:
    return [row["id"] for row in await client.ask("GET", f"/jobs?{query}")]


async def test_jobs_when_listed_then_only_the_organisations_own_the_newest_first(neighbours: Neighbours) -> None:
    first = await accept(neighbours, neighbours.acme)
    foreign = await accept(neighbours, neighbours.globex)
    await accept(neighbours, None)
    second = await accept(neighbours, neighbours.acme)
    mine = await ids(neighbours.acme)
    assert mine[:2] == [second, first]
    assert foreign not in mine
    assert foreign in await ids(neighbours.globex)
    [row, *_] = await neighbours.acme_admin.ask("GET", "/jobs")
    assert "arguments" not in row
    assert (row["task"], row["plugin"], row["state"], row["tries"]) == (TASK, "host", "queued", 3)


async def test_jobs_when_filtered_then_only_those_that_fit(neighbours: Neighbours) -> None:
    acme = neighbours.acme
    failed = await accept(neighbours, acme, state=JobState.FAILED, error="100% of it BROKE_down")
    other = await accept(neighbours, acme, task="mail.send")
    old = await accept(neighbours, acme, created_at=datetime(2020, 1, 1, tzinfo=UTC))
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
async def test_jobs_when_asked_wrongly_then_told_which_field(neighbours: Neighbours, query: str) -> None:
    error = await neighbours.acme.ask("GET", f"/jobs?{query}", 422)
    assert query.partition("=")[0] in error["details"]


async def test_jobs_when_paged_then_each_comes_once_and_a_cursor_is_good_for_its_list_only(
    neighbours: Neighbours,
) -> None:
    made = [await accept(neighbours, neighbours.acme, task="mail.send") for _ in range(5)]
    seen, cursor = [], ""
    while True:
        answer = (await neighbours.acme.get(f"/api/v1/jobs?task=mail.send&limit=2{cursor}")).json()
        seen += [row["id"] for row in answer["data"]]
        if answer["meta"]["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['meta']['next_cursor']}"
    assert seen == made[::-1]
    await neighbours.acme.ask("GET", f"/jobs?limit=2{cursor}", 400)
    await neighbours.globex.ask("GET", f"/jobs?task=mail.send&limit=2{cursor}", 400)
    await neighbours.acme.ask("GET", "/jobs?cursor=nonsense", 400)


async def test_job_when_read_then_shows_all_but_secrets_links_and_tokens(neighbours: Neighbours) -> None:
    person = uuid4()
    job_id = await accept(
        neighbours,
        neighbours.acme,
        task="mail.send",
        arguments={
            "to": "a@b.example", "thing": str(person), "token": "hush", "note": f"use {TOKEN} at https://x.example/r/{TOKEN}",
        },
        origin=Origin("the-request", Actor("user", person, "ada@acme.example", person), "10.0.0.9", "Browser"),
        state=JobState.RUNNING, worker="machine-1", attempts=2, progress=0.25, error=f"Bearer {TOKEN} refused",
        started_at=datetime.now(UTC),
    )  # fmt: skip
    job = await neighbours.acme.ask("GET", f"/jobs/{job_id}")
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
    neighbours: Neighbours, operator: Client
) -> None:
    foreign = await accept(neighbours, neighbours.globex, state=JobState.FAILED)
    nobodys = await accept(neighbours, None, state=JobState.FAILED)
    for method, tail in (("GET", ""), ("POST", "/retry"), ("POST", "/cancel")):
        random = await neighbours.acme.ask(method, f"/jobs/{uuid4()}{tail}", 404)
        for job_id in (foreign, nobodys):
            answer = await neighbours.acme.ask(method, f"/jobs/{job_id}{tail}", 404)
            assert {**answer, "request_id": ""} == {**random, "request_id": ""}
        await operator.ask(method, f"/operator/jobs/{uuid4()}{tail}", 404)
    with neighbours.house.inner.bound():
        assert await Job.filter(id__in=[foreign, nobodys], state=JobState.FAILED).count() == 2


async def test_jobs_when_asked_without_permission_then_refused(neighbours: Neighbours) -> None:
    job_id = await accept(neighbours, neighbours.acme, state=JobState.FAILED)
    for client in (neighbours.acme_member, neighbours.acme_viewer):
        for method, path in (
            ("GET", ""),
            ("GET", f"/{job_id}"),
            ("POST", f"/{job_id}/retry"),
            ("POST", f"/{job_id}/cancel"),
        ):
            await client.ask(method, f"/jobs{path}", 403)
    await neighbours.stranger.ask("GET", "/jobs", 401)
    for method, path in (
        ("GET", ""), ("GET", "/tasks"), ("GET", f"/{job_id}"), ("POST", f"/{job_id}/retry"),
        ("POST", f"/{job_id}/cancel"), ("POST", f"/tasks/{TASK}/resume"),
    ):  # fmt: skip
        await neighbours.acme.ask(method, f"/operator/jobs{path}", 403)
    await neighbours.acme.ask("POST", f"/operator/jobs/tasks/{TASK}/pause", 403, json={"reason": "x"})


async def test_job_when_retried_or_cancelled_then_changes_once_and_is_recorded(neighbours: Neighbours) -> None:
    acme = neighbours.acme_admin
    job_id = await accept(neighbours, acme, state=JobState.FAILED, attempts=3, error="it broke")
    again = await acme.ask("POST", f"/jobs/{job_id}/retry")
    assert (again["state"], again["attempts"]) == ("queued", 0)
    refused = await acme.ask("POST", f"/jobs/{job_id}/retry", 409)
    assert refused["details"] == {"state": "queued"}
    off = await acme.ask("POST", f"/jobs/{job_id}/cancel")
    assert off["state"] == "cancelled"
    refused = await acme.ask("POST", f"/jobs/{job_id}/cancel", 409)
    assert (refused["code"], refused["details"]) == ("CONFLICT", {"state": "cancelled"})
    done = await accept(neighbours, acme, state=JobState.DONE)
    await acme.ask("POST", f"/jobs/{done}/retry", 409)
    await acme.ask("POST", f"/jobs/{done}/cancel", 409)
    found = await neighbours.acme.ask("GET", f"/audit/resources/job/{job_id}")
    entries = [entry for entry in found if entry["outcome"] == "succeeded"]
    assert [entry["action"] for entry in entries] == ["tenant.jobs.cancel", "tenant.jobs.retry"]
    assert entries[1]["before"] == {"state": "failed", "task": TASK}


async def test_operator_when_looking_after_jobs_then_sees_all_and_the_organisation_sees_who_did_it(
    neighbours: Neighbours, operator: Client
) -> None:
    theirs = await accept(neighbours, neighbours.globex, state=JobState.FAILED, arguments={"token": "hush"})
    nobodys = await accept(neighbours, None, state=JobState.FAILED)
    rows = await operator.ask("GET", "/operator/jobs?state=failed")
    assert [(row["id"], row["tenant_id"]) for row in rows] == [
        (nobodys, None),
        (theirs, str(neighbours.globex.tenant_id)),
    ]
    assert [row["tenant"] for row in rows][-1] == "globex"
    rows = await operator.ask("GET", f"/operator/jobs?state=failed&tenant_id={neighbours.globex.tenant_id}")
    assert [row["id"] for row in rows] == [theirs]
    assert (await operator.ask("GET", f"/operator/jobs/{theirs}"))["arguments"] == {"token": "•••"}
    for job_id in (theirs, nobodys):
        assert (await operator.ask("POST", f"/operator/jobs/{job_id}/retry"))["state"] == "queued"
        assert (await operator.ask("POST", f"/operator/jobs/{job_id}/cancel"))["state"] == "cancelled"
        await operator.ask("POST", f"/operator/jobs/{job_id}/cancel", 409)
    found = await neighbours.globex.ask("GET", f"/audit/resources/job/{theirs}")
    [cancelled, retried] = [entry for entry in found if entry["outcome"] == "succeeded"]
    assert (cancelled["action"], retried["action"]) == ("tenant.jobs.cancel", "tenant.jobs.retry")
    assert retried["actor_id"] == str(operator.user_id)
    assert await neighbours.acme.ask("GET", f"/audit/resources/job/{theirs}") == []


async def test_task_when_paused_then_its_jobs_wait_everywhere_with_the_reason_and_run_when_resumed(
    neighbours: Neighbours, operator: Client
) -> None:
    house = neighbours.house.inner
    waiting = await accept(neighbours, neighbours.acme)
    other = await accept(neighbours, neighbours.acme, task="host.finish_switch", arguments={"plugin_id": "projects"})
    paused = await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/pause", json={"reason": "it fills the disk"})
    assert paused["paused"] | {"at": ""} == {"reason": "it fills the disk", "by": "operator@example.com", "at": ""}
    assert paused["jobs"]["parked"] >= 1
    later = await accept(neighbours, neighbours.globex)
    await neighbours.house.run_jobs()
    for client, job_id in ((neighbours.acme, waiting), (neighbours.globex, later)):
        job = await client.ask("GET", f"/jobs/{job_id}")
        assert (job["state"], job["error"]) == ("parked", "paused by an operator: it fills the disk")
        assert job["attempts"] == 0
    assert (await neighbours.acme.ask("GET", f"/jobs/{other}"))["state"] == "done"
    with house.bound():
        assert await house.reconciler.unpark() == 0
    resumed = await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/resume")
    assert (resumed["paused"], resumed["jobs"]["queued"]) == (None, 2)
    await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/resume", 409)
    await neighbours.house.run_jobs()
    assert (await neighbours.acme.ask("GET", f"/jobs/{waiting}"))["state"] == "done"
    assert (await neighbours.globex.ask("GET", f"/jobs/{later}"))["state"] == "done"


async def test_task_when_paused_by_another_process_then_known_within_a_second_and_after_a_restart(
    neighbours: Neighbours,
) -> None:
    from host.jobs.pauses import Pauses

    house = neighbours.house.inner
    clock = [100.0]
    here, there = Pauses(lambda: clock[0]), Pauses()
    with house.bound():
        assert await here.reason(TASK) == ""
        await there.pause(TASK, "elsewhere", "somebody")
        assert await here.reason(TASK) == "", "not asked again for every job"
        clock[0] += FRESH
        assert await here.reason(TASK) == "paused by an operator: elsewhere"
        assert await Pauses().reason(TASK) != "", "a new process reads it"
        assert await there.resume(TASK) == 0
        assert await there.resume(TASK) is None
        clock[0] += FRESH
        assert await here.reason(TASK) == ""


async def test_schedule_when_its_task_is_paused_then_adds_nothing_and_catches_up_when_resumed(
    neighbours: Neighbours, operator: Client
) -> None:
    house = neighbours.house.inner
    await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/pause", json={"reason": "x"})
    with house.bound():
        await house.reconciler.fan_out()
        assert await Job.filter(task=TASK).count() == 0
    await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/resume")
    with house.bound():
        await house.reconciler.fan_out()
        assert await Job.filter(task=TASK).count() == 2


async def test_tasks_when_listed_then_each_with_its_jobs_by_state(neighbours: Neighbours, operator: Client) -> None:
    for state in (JobState.FAILED, JobState.FAILED, JobState.QUEUED):
        await accept(neighbours, neighbours.acme, task="gone.task", state=state)
    rows = {row["task"]: row for row in await operator.ask("GET", "/operator/jobs/tasks")}
    assert rows["gone.task"]["jobs"] == {"failed": 2, "queued": 1}
    assert (rows[TASK]["every"], rows[TASK]["paused"], rows[TASK]["plugin"]) == (86400.0, None, "host")
    assert rows[TASK]["summary"].startswith("Forget")
    await operator.ask("POST", "/operator/jobs/tasks/gone.task/pause", 404, json={"reason": "x"})
    await operator.ask("POST", "/operator/jobs/tasks/gone.task/resume", 404)
    for body in ({}, {"reason": "  "}, {"reason": "x" * 501}, {"reason": "x", "y": 1}):
        await operator.ask("POST", f"/operator/jobs/tasks/{TASK}/pause", 422, json=body)


async def test_job_when_cancelled_while_its_tenant_is_told_then_ids_are_uuids_only(neighbours: Neighbours) -> None:
    await neighbours.acme.ask("GET", "/jobs/not-a-uuid", 404)
    await neighbours.acme.ask("GET", f"/jobs/{UUID(int=0)}", 404)
    long_ago = await accept(neighbours, neighbours.acme, run_at=datetime.now(UTC) + timedelta(days=3650))
    assert (await neighbours.acme.ask("POST", f"/jobs/{long_ago}/cancel"))["state"] == "cancelled"


async def test_job_when_it_failed_for_a_reason_of_ours_then_only_operators_read_what_python_said(
    neighbours: Neighbours, operator: Client
) -> None:
    for error, told in (
        ("KeyError: 'projects.projcts'", "reason of this deployment's own"),
        ("UndefinedTableError", "reason of this deployment's own"),
        ("the provider refused it: 550 no such user", "550 no such user"),
    ):
        job_id = await accept(neighbours, neighbours.acme, state=JobState.FAILED, error=error)
        assert told in (await neighbours.acme.ask("GET", f"/jobs/{job_id}"))["error"]
        assert (await operator.ask("GET", f"/operator/jobs/{job_id}"))["error"] == error
