"""`/jobs/{id}/events`: what becomes of a job, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest

from host.execution_context import in_tenant
from host.job_progress import report_progress
from host.services import unit_of_work
from host.testing import TwoTenants

TASK = "host.sweep"


def events_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


async def enqueue(two_tenants: TwoTenants) -> str:
    application = two_tenants.application.inner
    assert two_tenants.acme.tenant_id is not None
    with application.bound(), in_tenant(await application.callbacks.snapshot_of(two_tenants.acme.tenant_id)):
        async with unit_of_work() as work:
            return str(await work.enqueue(TASK))


async def test_job_when_followed_then_its_progress_and_its_end_and_then_the_stream_ends(
    two_tenants: TwoTenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly() -> None:
        for step in range(1, 5):
            await report_progress(step / 5)
            await asyncio.sleep(0.4)

    tasks = cast(Any, two_tenants.application.inner.services.tasks)._tasks
    monkeypatch.setitem(tasks, TASK, replace(tasks[TASK], run=slowly, any_tenant_state=True))
    job = await enqueue(two_tenants)
    following = asyncio.create_task(two_tenants.acme_admin.get(f"/api/v1/jobs/{job}/events"))
    await asyncio.sleep(0.3)
    await two_tenants.application.run_jobs()
    answer: httpx.Response = await asyncio.wait_for(following, 20)
    assert answer.headers["content-type"] == "text/event-stream"
    seen = events_in(answer.text)
    assert seen[0]["state"] == "queued"
    assert [each["progress"] for each in seen if each["state"] == "running"][-1] == 0.8
    assert {0.2, 0.4, 0.6, 0.8} <= {each["progress"] for each in seen}
    assert (seen[-1]["state"], seen[-1]["progress"]) == ("done", 1.0)
    assert answer.text.count("event: job\n") == len(seen)


async def test_job_when_it_has_ended_already_then_how_and_the_end(two_tenants: TwoTenants) -> None:
    job = await enqueue(two_tenants)
    await two_tenants.application.run_jobs()
    answer = await two_tenants.acme_admin.get(f"/api/v1/jobs/{job}/events")
    assert [each["state"] for each in events_in(answer.text)] == ["done"]


async def test_job_when_it_is_not_for_them_then_refused_as_if_it_never_was(two_tenants: TwoTenants) -> None:
    job = await enqueue(two_tenants)
    for client, status in (
        (two_tenants.globex, 404),
        (two_tenants.acme_viewer, 403),
        (two_tenants.anonymous, 401),
    ):
        assert (await client.get(f"/api/v1/jobs/{job}/events")).status_code == status


async def test_api_document_when_read_then_says_event_stream_and_how_to_resume(two_tenants: TwoTenants) -> None:
    document = (await two_tenants.acme.get("/api/v1/openapi.json")).json()
    operation = document["paths"]["/jobs/{job_id}/events"]["get"]
    assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"]
    names = {each.get("name") for each in operation["parameters"]}
    assert {"Last-Event-ID", "last_event_id"} <= names
