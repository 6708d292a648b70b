"""The HTTP endpoints of projects, down to the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from host.plans import pin_plan
from host.testing import Client, TwoTenants
from plugins.projects import events
from tenants.context import bind
from tenants.models import Tenant

TODAY = datetime.now(UTC).date()


async def make_project(client: Client, name: str = "Apollo", **fields: Any) -> dict[str, Any]:
    project: dict[str, Any] = await client.ask("POST", "/projects", 201, json={"name": name, **fields})
    return project


async def make_task(client: Client, project: dict[str, Any], title: str = "Land", **fields: Any) -> dict[str, Any]:
    path = f"/projects/{project['id']}/tasks"
    task: dict[str, Any] = await client.ask("POST", path, 201, json={"title": title, **fields})
    return task


async def titles(client: Client, query: str) -> list[str]:
    return [task["title"] for task in await client.ask("GET", f"/tasks?{query}")]


async def recorded(client: Client, resource: dict[str, Any], kind: str = "task") -> list[str]:
    return [
        entry["action"]
        for entry in await client.ask("GET", f"/audit/resources/{kind}/{resource['id']}?outcome=succeeded")
    ]


# -- projects --------------------------------------------------------------------------------------------


async def test_project_when_created_then_found_led_by_its_creator_recorded_and_announced(
    acme: Client, heard: list[Any]
) -> None:
    answer = await acme.post("/api/v1/projects", json={"name": "  Apollo 11 ", "description": "Moon"})
    project = answer.json()["data"]
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1/projects/{project['id']}")
    assert (project["name"], project["slug"], project["status"]) == ("Apollo 11", "apollo-11", "active")
    assert project["created_by"] == str(acme.user_id)
    assert await acme.ask("GET", f"/projects/{project['id']}") == project
    [lead] = await acme.ask("GET", f"/projects/{project['id']}/members")
    assert (lead["user_id"], lead["role"]) == (str(acme.user_id), "lead")
    assert await recorded(acme, project, "project") == ["projects.projects.create"]
    [created] = [event for event in heard if isinstance(event, events.ProjectCreated)]
    assert str(created.project_id) == project["id"]


async def test_project_slug_when_name_is_taken_then_numbered_and_when_given_twice_then_conflict(acme: Client) -> None:
    assert [(await make_project(acme, "Übung, 1"))["slug"] for _ in range(3)] == ["ubung-1", "ubung-1-2", "ubung-1-3"]
    await make_project(acme, "Other", slug="chosen")
    refused = await acme.ask("POST", "/projects", 409, json={"name": "Again", "slug": "chosen"})
    assert refused["code"] == "CONFLICT"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "x", "slug": "Not A Slug"}, "slug"),
        ({"name": "x", "owner": "me"}, "owner"),
        ({"name": None}, "name"),
    ],
)
async def test_project_when_fields_are_wrong_then_422_names_them(
    acme: Client, body: dict[str, Any], field: str
) -> None:
    refused = await acme.ask("POST", "/projects", 422, json=body)
    assert refused["code"] == "VALIDATION_ERROR"
    assert field in refused["details"]


async def test_project_when_changed_then_only_what_was_sent_changes_and_the_etag_moves(
    acme: Client, heard: list[Any]
) -> None:
    project = await make_project(acme, description="Moon")
    path = f"/projects/{project['id']}"
    etag = (await acme.get(f"/api/v1{path}")).headers["etag"]
    changed = await acme.ask("PATCH", path, json={"status": "archived"}, headers={"If-Match": etag})
    assert (changed["status"], changed["name"], changed["description"]) == ("archived", "Apollo", "Moon")
    assert changed["version"] == 2
    await acme.ask("PATCH", path, 412, json={"name": "Late"}, headers={"If-Match": '"1"'})
    await acme.ask("PATCH", path, 422, json={"name": None})
    await acme.ask("PATCH", path, 422, json={"slug": "new"})
    [entry] = [
        each
        for each in await acme.ask("GET", f"/audit/resources/project/{project['id']}?outcome=succeeded")
        if each["action"] == "projects.projects.update"
    ]
    assert (entry["before"], entry["after"]) == ({"status": "active"}, {"status": "archived"})
    assert [event.changed for event in heard if isinstance(event, events.ProjectUpdated)] == [("status",)]


async def test_project_when_patched_with_what_it_has_then_nothing_is_recorded(acme: Client) -> None:
    project = await make_project(acme)
    same = await acme.ask("PATCH", f"/projects/{project['id']}", json={"name": project["name"]})
    assert same == project
    assert await recorded(acme, project, "project") == ["projects.projects.create"]


async def test_project_when_deleted_then_its_tasks_go_with_it_each_recorded_and_the_quota_comes_back(
    acme: Client, heard: list[Any]
) -> None:
    project, other = await make_project(acme), await make_project(acme, "Other")
    gone = [await make_task(acme, project, title) for title in ("one", "two")]
    kept = await make_task(acme, other, "three")
    await acme.ask("DELETE", f"/projects/{project['id']}", 412, headers={"If-Match": '"7"'})
    await acme.ask("DELETE", f"/projects/{project['id']}", 204)
    await acme.ask("GET", f"/projects/{project['id']}", 404)
    await acme.ask("GET", f"/projects/{project['id']}/tasks", 404)
    for task in gone:
        await acme.ask("GET", f"/tasks/{task['id']}", 404)
        assert "projects.tasks.delete" in await recorded(acme, task)
    await acme.ask("GET", f"/tasks/{kept['id']}")
    [deleted] = [event for event in heard if isinstance(event, events.ProjectDeleted)]
    assert deleted.tasks == 2
    usage = {row["name"]: row["used"] for row in await acme.ask("GET", "/usage")}
    assert usage["projects.projects"] == 1


async def test_projects_when_the_plan_is_full_then_402_and_nothing_is_left_behind(two_tenants: TwoTenants) -> None:
    acme = two_tenants.acme
    await on_free_plan(two_tenants)
    for number in range(3):
        await make_project(acme, f"Project {number}")
    refused = await acme.ask("POST", "/projects", 402, json={"name": "One too many"})
    assert (refused["code"], refused["details"]["limit"], refused["details"]["used"]) == ("QUOTA_EXCEEDED", 3, 3)
    listed = await acme.ask("GET", "/projects")
    assert len(listed) == 3
    await acme.ask("DELETE", f"/projects/{listed[0]['id']}", 204)
    await make_project(acme, "Now it fits")
    await make_project(two_tenants.globex, "Not counted there")


async def on_free_plan(two_tenants: TwoTenants) -> None:
    inner = two_tenants.application.inner
    with inner.bound(), bind(None):
        tenant = await Tenant.get(slug="acme")
        await pin_plan(tenant.id, "free")


async def test_projects_when_filtered_searched_and_sorted_then_only_those_in_that_order(acme: Client) -> None:
    beta, alpha = await make_project(acme, "Beta"), await make_project(acme, "Alpha", description="the 100% first")
    await acme.ask("PATCH", f"/projects/{beta['id']}", json={"status": "archived"})

    async def names(query: str) -> list[str]:
        return [project["name"] for project in await acme.ask("GET", f"/projects?{query}")]

    assert await names("sort=name") == ["Alpha", "Beta"]
    assert await names("sort=-name") == ["Beta", "Alpha"]
    assert await names("status=archived") == ["Beta"]
    assert await names(f"slug={alpha['slug']}") == ["Alpha"]
    assert await names("search=100%25") == ["Alpha"]
    assert await names("search=1000") == []
    await acme.ask("GET", "/projects?status=banana", 422)
    await acme.ask("GET", "/projects?sort=description", 422)
    await acme.ask("GET", "/projects?colour=red", 422)


# -- people ----------------------------------------------------------------------------------------------


async def test_project_member_when_put_changed_and_removed_then_each_step_shows(two_tenants: TwoTenants) -> None:
    acme, colleague = two_tenants.acme, two_tenants.acme_member
    project = await make_project(acme)
    path = f"/projects/{project['id']}/members/{colleague.user_id}"
    joined = await acme.ask("PUT", path, 201, json={"role": "viewer"})
    assert joined["role"] == "viewer"
    changed = await acme.ask("PUT", path, 200, json={"role": "lead"}, headers={"If-Match": '"1"'})
    assert (changed["role"], changed["version"]) == ("lead", 2)
    await acme.ask("PUT", path, 412, json={"role": "viewer"}, headers={"If-Match": '"1"'})
    assert await acme.ask("GET", path) == changed
    assert len(await acme.ask("GET", f"/projects/{project['id']}/members?role=lead")) == 2
    await acme.ask("DELETE", path, 204)
    await acme.ask("DELETE", path, 404)
    await acme.ask("GET", path, 404)
    seen = [entry["action"] for entry in await acme.ask("GET", "/audit/entries?resource_type=project_member")]
    assert seen == ["projects.members.delete", "projects.members.update", "projects.members.update"]


async def test_project_member_when_not_of_the_tenant_then_422_names_the_field(two_tenants: TwoTenants) -> None:
    project = await make_project(two_tenants.acme)
    for user_id in (two_tenants.globex.user_id, uuid4()):
        path = f"/projects/{project['id']}/members/{user_id}"
        refused = await two_tenants.acme.ask("PUT", path, 422, json={"role": "member"})
        assert list(refused["details"]) == ["user_id"]


# -- tasks -----------------------------------------------------------------------------------------------


async def test_task_when_created_in_full_then_reads_back_and_everybody_is_told(
    two_tenants: TwoTenants, heard: list[Any]
) -> None:
    acme, colleague = two_tenants.acme, two_tenants.acme_member
    project = await make_project(acme)
    given = {
        "title": "Land",
        "description": "softly",
        "status": "in_progress",
        "priority": "urgent",
        "assignee_id": str(colleague.user_id),
        "due_on": "2030-07-20",
        "tags": ["moon", "eagle"],
    }
    task = await make_task(acme, project, **{**given, "tags": ["moon", "eagle", "moon"]})
    assert {name: task[name] for name in given} == given
    assert (task["project_id"], task["created_by"]) == (project["id"], str(acme.user_id))
    assert "tenant_id" not in task
    assert "overdue_announced_for" not in task
    assert await acme.ask("GET", f"/tasks/{task['id']}") == task
    assert [type(event).__name__ for event in heard][-2:] == ["TaskCreated", "TaskAssigned"]
    [entry] = await acme.ask("GET", f"/audit/resources/task/{task['id']}?outcome=succeeded")
    assert entry["after"]["priority"] == "urgent"
    assert entry["before"] == {}


async def test_task_when_assignee_is_no_member_of_the_tenant_then_422_names_the_field(two_tenants: TwoTenants) -> None:
    project = await make_project(two_tenants.acme)
    path, anonymous = f"/projects/{project['id']}/tasks", str(two_tenants.globex.user_id)
    refused = await two_tenants.acme.ask("POST", path, 422, json={"title": "Land", "assignee_id": anonymous})
    assert list(refused["details"]) == ["assignee_id"]
    task = await make_task(two_tenants.acme, project)
    refused = await two_tenants.acme.ask("PATCH", f"/tasks/{task['id']}", 422, json={"assignee_id": anonymous})
    assert list(refused["details"]) == ["assignee_id"]


async def test_task_when_project_is_archived_then_409(acme: Client) -> None:
    project = await make_project(acme)
    await acme.ask("PATCH", f"/projects/{project['id']}", json={"status": "archived"})
    await acme.ask("POST", f"/projects/{project['id']}/tasks", 409, json={"title": "Late"})


async def test_tasks_when_project_is_archived_then_kept_as_they_are_until_it_is_active_again(acme: Client) -> None:
    project = await make_project(acme)
    task, elsewhere = await make_task(acme, project), await make_task(acme, await make_project(acme, "Beta"))
    await acme.ask("PATCH", f"/projects/{project['id']}", json={"status": "archived"})
    path, together = f"/tasks/{task['id']}", {"ids": [elsewhere["id"], task["id"]], "status": "done"}
    await acme.ask("PATCH", path, 409, json={"title": "Late"})
    await acme.ask("POST", "/tasks/bulk-status", 409, json=together)
    await acme.ask("DELETE", path, 409)
    assert await acme.ask("GET", path) == task
    assert await acme.ask("GET", f"/tasks/{elsewhere['id']}") == elsewhere
    await acme.ask("PATCH", f"/projects/{project['id']}", json={"status": "active"})
    await acme.ask("POST", "/tasks/bulk-status", 200, json=together)
    await acme.ask("DELETE", path, 204)


async def test_task_when_changed_then_only_what_was_sent_changes_and_milestones_are_told(
    two_tenants: TwoTenants, heard: list[Any]
) -> None:
    acme, colleague = two_tenants.acme, two_tenants.acme_member
    task = await make_task(acme, await make_project(acme), due_on="2030-01-01", tags=["a"])
    path = f"/tasks/{task['id']}"
    changed = await acme.ask("PATCH", path, json={"assignee_id": str(colleague.user_id), "status": "done"})
    assert (changed["assignee_id"], changed["status"], changed["due_on"], changed["tags"]) == (
        str(colleague.user_id), "done", "2030-01-01", ["a"],
    )  # fmt: skip
    assert [type(event).__name__ for event in heard][-3:] == ["TaskUpdated", "TaskAssigned", "TaskCompleted"]
    doubled = await acme.ask("PATCH", path, json={"tags": ["Ärzte", "b", "ÄRZTE", "A\u0308rzte", "B"]})
    assert doubled["tags"] == ["Ärzte", "b"]
    cleared = await acme.ask("PATCH", path, json={"assignee_id": None, "due_on": None, "tags": []})
    assert (cleared["assignee_id"], cleared["due_on"], cleared["tags"]) == (None, None, [])
    assert [type(event).__name__ for event in heard][-1:] == ["TaskUpdated"]
    assert set(heard[-1].changed) == {"assignee_id", "due_on", "tags"}
    await acme.ask("PATCH", path, 412, json={"title": "Late"}, headers={"If-Match": '"1"'})
    for wrong in ({"title": None}, {"status": None}, {"priority": "banana"}, {"tags": ["x"] * 21}, {"version": 9}):
        await acme.ask("PATCH", path, 422, json=wrong)


async def test_task_when_deleted_then_gone_and_recorded_as_it_was(acme: Client, heard: list[Any]) -> None:
    task = await make_task(acme, await make_project(acme))
    await acme.ask("DELETE", f"/tasks/{task['id']}", 412, headers={"If-Match": '"9"'})
    await acme.ask("DELETE", f"/tasks/{task['id']}", 204)
    await acme.ask("DELETE", f"/tasks/{task['id']}", 404)
    [entry, _] = await acme.ask("GET", f"/audit/resources/task/{task['id']}?outcome=succeeded")
    assert (entry["action"], entry["before"]["title"], entry["after"]) == ("projects.tasks.delete", "Land", {})
    assert isinstance(heard[-1], events.TaskDeleted)


async def test_tasks_when_filtered_then_only_those_that_fit(two_tenants: TwoTenants) -> None:
    acme, colleague = two_tenants.acme, two_tenants.acme_member
    project, other = await make_project(acme), await make_project(acme, "Other")
    await make_task(acme, project, "a", priority="urgent", tags=["red", "blue"], due_on=str(TODAY))
    await make_task(acme, project, "b", priority="low", tags=["blueish"], due_on=str(TODAY + timedelta(1)))
    await make_task(acme, other, "c", status="done", assignee_id=str(colleague.user_id), description="100%_x")
    every: dict[str, list[str]] = {
        "": ["a", "b", "c"],
        "status=todo": ["a", "b"],
        "status=done,cancelled": ["c"],
        "priority=urgent": ["a"],
        "priority=low,urgent": ["a", "b"],
        f"assignee_id={colleague.user_id}": ["c"],
        f"project_id={other['id']}": ["c"],
        "tag=blue": ["a"],
        "tag=gr%22een": [],
        f"due_before={TODAY + timedelta(1)}": ["a"],
        f"due_after={TODAY}": ["b"],
        f"due_after={TODAY - timedelta(1)}&due_before={TODAY + timedelta(2)}": ["a", "b"],
        "search=100%25_X": ["c"],
        "search=1000_x": [],
        "status=todo&priority=low": ["b"],
    }
    for query, expected in every.items():
        assert await titles(acme, f"sort=title&{query}") == expected, query
    assert [task["title"] for task in await acme.ask("GET", f"/projects/{project['id']}/tasks?sort=title")] == [
        "a",
        "b",
    ]
    for wrong in ("status=banana", "priority=1", "assignee_id=me", "due_before=tomorrow", "tags=blue", "sort=tags"):
        await acme.ask("GET", f"/tasks?{wrong}", 422)


async def test_tasks_when_sorted_and_paged_then_every_task_comes_once_in_order(acme: Client) -> None:
    project = await make_project(acme)
    for title, priority, due in (
        ("d", "high", None),
        ("a", "low", TODAY),
        ("c", "urgent", None),
        ("b", "normal", TODAY + timedelta(1)),
        ("e", "high", TODAY),
    ):
        await make_task(acme, project, title, priority=priority, due_on=str(due) if due else None)
    for sort, expected in (
        ("created_at", "dacbe"),
        ("-created_at", "ebcad"),
        ("updated_at", "dacbe"),
        ("title", "abcde"),
        ("priority", "abdec"),
        ("-priority", "cedba"),
        ("due_on", "aebdc"),
        ("-due_on", "cdbea"),
    ):
        seen, cursor = "", ""
        while True:
            answer = (await acme.get(f"/api/v1/tasks?sort={sort}&limit=2{cursor}")).json()
            seen += "".join(task["title"] for task in answer["data"])
            if answer["meta"]["next_cursor"] is None:
                break
            cursor = f"&cursor={answer['meta']['next_cursor']}"
        assert seen == expected, sort


async def test_bulk_status_when_all_are_known_then_all_change_in_the_order_asked(
    acme: Client, heard: list[Any]
) -> None:
    project = await make_project(acme)
    tasks = [await make_task(acme, project, title) for title in "abc"]
    ids = [task["id"] for task in tasks]
    answer = await acme.ask("POST", "/tasks/bulk-status", json={"ids": [*reversed(ids), ids[0]], "status": "done"})
    assert [(task["id"], task["status"]) for task in answer["tasks"]] == [(each, "done") for each in reversed(ids)]
    assert sum(isinstance(event, events.TaskCompleted) for event in heard) == 3
    assert "projects.tasks.update" in await recorded(acme, tasks[0])


async def test_bulk_status_when_one_is_unknown_or_foreign_then_404_and_none_changes(two_tenants: TwoTenants) -> None:
    acme, globex = two_tenants.acme, two_tenants.globex
    mine = await make_task(acme, await make_project(acme))
    theirs = await make_task(globex, await make_project(globex))
    answers = [
        await acme.ask("POST", "/tasks/bulk-status", 404, json={"ids": [mine["id"], other], "status": "done"})
        for other in (theirs["id"], str(uuid4()))
    ]
    assert {**answers[0], "request_id": ""} == {**answers[1], "request_id": ""}
    assert (await acme.ask("GET", f"/tasks/{mine['id']}")) == mine
    assert (await globex.ask("GET", f"/tasks/{theirs['id']}")) == theirs


@pytest.mark.parametrize("ids", [[], [str(uuid4()) for _ in range(101)], ["not-an-id"]])
async def test_bulk_status_when_ids_are_none_too_many_or_no_ids_then_422(acme: Client, ids: list[str]) -> None:
    await acme.ask("POST", "/tasks/bulk-status", 422, json={"ids": ids, "status": "done"})


# -- isolation and permissions ---------------------------------------------------------------------------


async def test_foreign_ids_when_used_anywhere_then_answered_like_random_ones(two_tenants: TwoTenants) -> None:
    acme, globex = two_tenants.acme, two_tenants.globex
    project = await make_project(acme)
    task = await make_task(acme, project)
    colleague = two_tenants.globex_member.user_id
    requests = [
        ("GET", "/projects/{}", project, None),
        ("PATCH", "/projects/{}", project, {"name": "Mine"}),
        ("DELETE", "/projects/{}", project, None),
        ("GET", "/projects/{}/members", project, None),
        ("PUT", f"/projects/{{}}/members/{colleague}", project, {"role": "lead"}),
        ("DELETE", f"/projects/{{}}/members/{acme.user_id}", project, None),
        ("GET", "/projects/{}/tasks", project, None),
        ("POST", "/projects/{}/tasks", project, {"title": "Planted"}),
        ("GET", "/tasks/{}", task, None),
        ("PATCH", "/tasks/{}", task, {"title": "Mine"}),
        ("DELETE", "/tasks/{}", task, None),
    ]
    for method, path, resource, body in requests:
        foreign, random = [
            await globex.ask(method, path.format(each), 404, json=body) for each in (resource["id"], uuid4())
        ]
        assert {**foreign, "request_id": ""} == {**random, "request_id": ""}, (method, path)
    assert await globex.ask("GET", "/tasks") == []
    assert await acme.ask("GET", f"/tasks/{task['id']}") == task


async def test_roles_when_using_projects_then_each_may_what_its_permissions_say(two_tenants: TwoTenants) -> None:
    project = await make_project(two_tenants.acme)
    task = await make_task(two_tenants.acme, project)
    viewer, member, admin = two_tenants.acme_viewer, two_tenants.acme_member, two_tenants.acme_admin
    await viewer.ask("GET", f"/tasks/{task['id']}")
    await viewer.ask("GET", f"/projects/{project['id']}/members")
    refused = await viewer.ask("POST", f"/projects/{project['id']}/tasks", 403, json={"title": "No"})
    assert refused["details"] == {"permission": "projects.tasks.create"}
    await viewer.ask("PATCH", f"/tasks/{task['id']}", 403, json={"title": "No"})
    await member.ask("PATCH", f"/tasks/{task['id']}", json={"title": "Yes"})
    await member.ask("DELETE", f"/projects/{project['id']}", 403)
    await two_tenants.anonymous.ask("GET", "/tasks", 401)
    await admin.ask("DELETE", f"/projects/{project['id']}", 204)


# -- who sees a project ----------------------------------------------------------------------------------


async def test_project_when_for_its_members_only_then_nobody_else_finds_it_anywhere(two_tenants: TwoTenants) -> None:
    member, viewer, admin = two_tenants.acme_member, two_tenants.acme_viewer, two_tenants.acme_admin
    project = await make_project(member, "Secret plan", visibility="members")
    open_project = await make_project(member, "Known plan")
    path = f"/projects/{project['id']}"
    task = await member.ask("POST", f"{path}/tasks", 201, json={"title": "Whisper"})

    async def names(client: Client, query: str) -> list[str]:
        return [row.get("name") or row["title"] for row in await client.ask("GET", query)]

    for client in (member, admin, two_tenants.acme):  # in it; may see all; owner
        assert await names(client, "/projects?sort=name") == ["Known plan", "Secret plan"]
        assert await names(client, "/projects?search=secret") == ["Secret plan"]
        assert await names(client, "/tasks") == ["Whisper"]
        await client.ask("GET", path)
    assert await names(viewer, "/projects") == ["Known plan"]
    for query in ("/projects?search=secret", f"/projects?slug={project['slug']}", "/projects?visibility=members"):
        assert await names(viewer, query) == []
    for query in ("/tasks", f"/tasks?project_id={project['id']}", "/tasks?search=whisper"):
        assert await names(viewer, query) == []
    random = f"/projects/{uuid4()}"
    for hidden, missing in (
        (path, random),
        (f"{path}/tasks", f"{random}/tasks"),
        (f"{path}/members", f"{random}/members"),
        (f"{path}/members/{member.user_id}", f"{random}/members/{member.user_id}"),
        (f"/tasks/{task['id']}", f"/tasks/{uuid4()}"),
    ):
        mine, random_answer = await viewer.ask("GET", hidden, 404), await viewer.ask("GET", missing, 404)
        assert mine | {"request_id": ""} == random_answer | {"request_id": ""}
    assert (await viewer.ask("GET", f"/projects/{open_project['id']}"))["visibility"] == "organisation"


async def test_project_when_hidden_then_not_changed_through_any_path_by_somebody_outside(
    two_tenants: TwoTenants,
) -> None:
    lead, other = two_tenants.acme_admin, two_tenants.acme_member
    project = await make_project(lead, "Secret plan", visibility="members")
    path = f"/projects/{project['id']}"
    task = await lead.ask("POST", f"{path}/tasks", 201, json={"title": "Whisper"})
    for method, target, body in (
        ("PATCH", path, {"name": "Mine"}),
        ("PATCH", path, {"visibility": "organisation"}),
        ("PUT", f"{path}/members/{other.user_id}", {"role": "lead"}),
        ("DELETE", f"{path}/members/{lead.user_id}", None),
        ("POST", f"{path}/tasks", {"title": "Shout"}),
        ("PATCH", f"/tasks/{task['id']}", {"title": "Shout"}),
        ("POST", "/tasks/bulk-status", {"ids": [task["id"]], "status": "done"}),
        ("DELETE", f"/tasks/{task['id']}", None),
    ):
        await other.ask(method, target, 404, json=body)
    await other.ask("POST", "/projects", 409, json={"name": "x", "slug": project["slug"]})
    assert await lead.ask("GET", path) == project
    assert await lead.ask("GET", f"/tasks/{task['id']}") == task


async def test_project_when_somebody_joins_or_it_is_opened_then_seen_at_once(two_tenants: TwoTenants) -> None:
    lead, viewer = two_tenants.acme_member, two_tenants.acme_viewer
    project = await make_project(lead, "Secret plan", visibility="members")
    path = f"/projects/{project['id']}"
    assigned = {"title": "Whisper", "assignee_id": str(viewer.user_id)}
    assert "assignee_id" in (await lead.ask("POST", f"{path}/tasks", 422, json=assigned))["details"]
    await lead.ask("PUT", f"{path}/members/{viewer.user_id}", 201, json={})
    await viewer.ask("GET", path)
    task = await lead.ask("POST", f"{path}/tasks", 201, json=assigned)
    await lead.ask("DELETE", f"{path}/members/{viewer.user_id}", 204)
    await viewer.ask("GET", path, 404)
    await viewer.ask("GET", f"/tasks/{task['id']}", 404)
    owner = {"assignee_id": str(two_tenants.acme.user_id)}  # not in it, and sees all
    await lead.ask("PATCH", f"/tasks/{task['id']}", json=owner)
    body = {"assignee_id": str(viewer.user_id)}
    assert "assignee_id" in (await lead.ask("PATCH", f"/tasks/{task['id']}", 422, json=body))["details"]
    assert (await lead.ask("PATCH", path, json={"visibility": "organisation"}))["visibility"] == "organisation"
    await viewer.ask("GET", path)
    await lead.ask("PATCH", f"/tasks/{task['id']}", json=body)


async def test_hidden_project_when_asked_for_with_an_api_key_then_seen_as_its_maker_sees_it(
    two_tenants: TwoTenants,
) -> None:
    lead, admin = two_tenants.acme_member, two_tenants.acme_admin
    project = await make_project(lead, "Secret plan", visibility="members")
    narrow = {"name": "robot", "permissions": ["projects.projects.read"]}
    wide = {"name": "robot", "permissions": ["projects.projects.read", "projects.projects.read_all"]}
    for body, status in ((narrow, 404), (wide, 200)):
        key = (await admin.ask("POST", "/tenant/api-keys", 201, json=body))["key"]
        async with two_tenants.application.client(Authorization=f"Bearer {key}") as robot:
            await robot.ask("GET", f"/projects/{project['id']}", status)
