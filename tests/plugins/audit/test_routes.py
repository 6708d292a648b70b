"""The audit log, read over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from host.services import record_failure
from host.testing import Client, TwoTenants
from tenants.context import bind


async def make_project(client: Client, name: str = "Apollo", **options: Any) -> dict[str, Any]:
    project: dict[str, Any] = await client.ask("POST", "/projects", 201, json={"name": name}, **options)
    return project


async def test_entry_when_something_is_done_then_says_who_what_and_from_where(acme: Client) -> None:
    before = datetime.now(UTC)
    headers = {"User-Agent": "Browser/1.0 " + "x" * 1000, "X-Request-ID": "my-request"}
    project = await make_project(acme, headers=headers)
    [entry] = await acme.ask("GET", f"/audit/resources/project/{project['id']}")
    assert entry["actor_kind"] == "user"
    assert entry["actor_id"] == str(acme.user_id)
    assert entry["actor_label"] == "owner@acme.example"
    assert (entry["action"], entry["outcome"], entry["reason"]) == ("projects.projects.create", "succeeded", "")
    assert (entry["resource_type"], entry["resource_id"]) == ("project", project["id"])
    assert entry["after"]["name"] == "Apollo"
    assert (entry["address"], entry["request_id"]) == ("127.0.0.1", "my-request")
    assert entry["user_agent"].startswith("Browser/1.0 xxx")
    assert len(entry["user_agent"]) == 300
    assert before <= datetime.fromisoformat(entry["at"]) <= datetime.now(UTC)
    assert await acme.ask("GET", f"/audit/entries/{entry['id']}") == entry


async def test_entries_when_filtered_then_only_those_that_fit_the_newest_first(two_tenants: TwoTenants) -> None:
    acme, member = two_tenants.acme, two_tenants.acme_member
    first = await make_project(acme, "First")
    await make_project(member, "Second")
    await acme.ask("PATCH", f"/projects/{first['id']}", json={"name": "Third"})
    await acme.ask("PATCH", "/tenant", json={"name": "Acme & Sons"})

    async def actions(query: str) -> list[str]:
        return [entry["action"] for entry in await acme.ask("GET", f"/audit/entries?{query}")]

    create, update, tenant = "projects.projects.create", "projects.projects.update", "tenant.profile.update"
    assert (await actions(""))[:4] == [tenant, update, create, create]
    assert await actions("action=projects.*") == [update, create, create]
    assert await actions("action=projects.projects.*") == [update, create, create]
    for pattern in ("*.create", "projects.*.create", "proj*.cre*", "*projects.create*"):
        assert (await actions(f"action={pattern}&resource_type=project")) == [create, create], pattern
    for strange in ("projects.%25", "PROJECTS.*", "projects.?rojects.*", "[p]rojects.*", "projects._*"):
        assert await actions(f"action={strange}&resource_type=project") == [], strange
    await acme.ask("GET", "/audit/entries?from=2030-01-01T00:00:00Z&to=2020-01-01T00:00:00Z", 422)
    assert await actions(f"action={create}") == [create, create]
    assert await actions("action=projects") == []
    assert await actions("action=project%25") == []
    assert await actions(f"actor_id={member.user_id}") == [create]
    assert await actions(f"resource_id={first['id']}") == [update, create]
    assert await actions("resource_type=project&outcome=succeeded&sort=at") == [create, create, update]
    assert await actions("outcome=denied&resource_type=project") == []
    [_, middle, *_] = await acme.ask("GET", "/audit/entries?action=projects.*")
    assert await actions(f"action=projects.*&from={quote(middle['at'])}") == [update, create]
    assert await actions(f"action=projects.*&to={quote(middle['at'])}") == [create]
    for wrong in ("from=yesterday", "actor_id=me", "user=x"):
        await acme.ask("GET", f"/audit/entries?{wrong}", 422)


async def test_entries_when_paged_then_every_entry_comes_once(acme: Client) -> None:
    for number in range(5):
        await make_project(acme, f"Project {number}")
    seen, cursor = [], ""
    while True:
        answer = (await acme.get(f"/api/v1/audit/entries?action=projects.*&limit=2{cursor}")).json()
        seen += [entry["after"]["name"] for entry in answer["data"]]
        if answer["meta"]["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['meta']['next_cursor']}"
    assert seen == [f"Project {number}" for number in range(4, -1, -1)]


async def test_entries_when_action_failed_or_was_denied_then_they_say_why(two_tenants: TwoTenants) -> None:
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        await record_failure("projects.tasks.read", "not yours", outcome="denied", resource_type="task")
    [entry] = await two_tenants.acme.ask("GET", "/audit/entries?outcome=denied&resource_type=task")
    assert (entry["action"], entry["reason"]) == ("projects.tasks.read", "not yours")


async def test_entries_when_the_deed_is_undone_then_there_is_none(acme: Client) -> None:
    await make_project(acme, "Kept")
    await acme.ask("POST", "/tasks/bulk-status", 404, json={"ids": [str(uuid4())], "status": "done"})
    await acme.ask("POST", "/projects", 409, json={"name": "Clash", "slug": "kept"})
    done = await acme.ask("GET", "/audit/entries?action=projects.*&outcome=succeeded")
    assert [entry["after"]["name"] for entry in done] == ["Kept"]
    tried = await acme.ask("GET", "/audit/entries?action=projects.*&outcome=failed")
    assert [(entry["action"], entry["after"]) for entry in tried] == [
        ("projects.projects.create", {}),
        ("projects.tasks.update", {}),
    ]


async def test_entries_when_asked_by_others_then_hidden(two_tenants: TwoTenants) -> None:
    project = await make_project(two_tenants.acme)
    [entry] = await two_tenants.acme_admin.ask("GET", f"/audit/resources/project/{project['id']}")
    await two_tenants.acme_member.ask("GET", "/audit/entries", 403)
    foreign = await two_tenants.globex.ask("GET", f"/audit/entries/{entry['id']}", 404)
    random = await two_tenants.globex.ask("GET", f"/audit/entries/{uuid4()}", 404)
    assert {**foreign, "request_id": ""} == {**random, "request_id": ""}
    assert await two_tenants.globex.ask("GET", f"/audit/resources/project/{project['id']}") == []
    assert await two_tenants.globex.ask("GET", "/audit/entries?action=projects.*") == []
