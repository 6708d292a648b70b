"""The schedule that announces overdue tasks, run as the job it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from host.sdk import unit_of_work
from host.testing import Client, TestApplication, TwoTenants
from plugins.projects import tasks
from plugins.projects.events import TaskOverdue
from tenants.context import bind


def day(distance: int) -> str:
    return str(datetime.now(UTC).date() + timedelta(distance))


async def make_task(client: Client, title: str, **fields: Any) -> dict[str, Any]:
    projects = await client.ask("GET", "/projects")
    project = projects[0] if projects else await client.ask("POST", "/projects", 201, json={"name": "Apollo"})
    path = f"/projects/{project['id']}/tasks"
    task: dict[str, Any] = await client.ask("POST", path, 201, json={"title": title, **fields})
    return task


async def look(application: TestApplication, client: Client) -> None:
    assert client.tenant_id is not None
    with application.inner.bound(), bind(client.tenant_id):
        async with unit_of_work() as work:
            await work.enqueue("projects.announce_overdue")
    assert await application.run_jobs() >= 1


def overdue(heard: list[Any]) -> list[str]:
    return sorted(event.title for event in heard if isinstance(event, TaskOverdue))


async def test_overdue_schedule_when_tasks_are_late_then_each_open_one_is_announced_once(
    two_tenants: TwoTenants, heard: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "BATCH", 2)
    acme, application = two_tenants.acme, two_tenants.application
    for title in ("one", "two", "three"):
        await make_task(acme, title, due_on=day(-1))
    await make_task(acme, "today", due_on=day(0))
    await make_task(acme, "some day")
    await make_task(acme, "closed", due_on=day(-1), status="done")
    await make_task(two_tenants.globex, "foreign", due_on=day(-1))
    await look(application, acme)
    assert overdue(heard) == ["one", "three", "two"]
    await look(application, acme)
    assert overdue(heard) == ["one", "three", "two"]


async def test_overdue_schedule_when_due_date_moves_then_announced_again(
    two_tenants: TwoTenants, heard: list[Any]
) -> None:
    acme, application = two_tenants.acme, two_tenants.application
    task = await make_task(acme, "late", due_on=day(-2))
    await look(application, acme)
    await acme.ask("PATCH", f"/tasks/{task['id']}", json={"title": "later", "due_on": day(-1)})
    await look(application, acme)
    await acme.ask("PATCH", f"/tasks/{task['id']}", json={"title": "latest", "due_on": day(-1)})
    await look(application, acme)
    assert overdue(heard) == ["late", "later"]


async def test_overdue_schedule_when_the_tenant_has_switched_it_off_then_silent(
    two_tenants: TwoTenants, heard: list[Any]
) -> None:
    acme = two_tenants.acme
    await make_task(acme, "late", due_on=day(-1))
    await acme.ask("PUT", "/tenant/plugins/projects/settings", json={"announce_overdue": False})
    await look(two_tenants.application, acme)
    assert overdue(heard) == []


async def test_tasks_when_the_day_is_over_where_the_organisation_is_then_overdue_there_only(
    application: TestApplication, two_tenants: TwoTenants, heard: list[Any]
) -> None:
    # Of two zones 26 hours apart, the days are never the same.
    await two_tenants.acme.ask("PATCH", "/tenant", json={"timezone": "pacific/kiritimati"})
    await two_tenants.globex.ask("PATCH", "/tenant", json={"timezone": "Etc/GMT+12"})
    ahead = (datetime.now(UTC) + timedelta(hours=14)).date() - timedelta(days=1)
    for client, title in ((two_tenants.acme, "over"), (two_tenants.globex, "not over")):
        await make_task(client, title, due_on=str(ahead))
        await look(two_tenants.application, client)
    assert overdue(heard) == ["over"]


async def test_overdue_schedule_when_the_project_is_archived_then_announced_once_it_is_active_again(
    two_tenants: TwoTenants, heard: list[Any]
) -> None:
    acme, application = two_tenants.acme, two_tenants.application
    project = f"/projects/{(await make_task(acme, 'late', due_on=day(-1)))['project_id']}"
    await acme.ask("PATCH", project, json={"status": "archived"})
    await look(application, acme)
    assert overdue(heard) == []
    await acme.ask("PATCH", project, json={"status": "active"})
    await look(application, acme)
    assert overdue(heard) == ["late"]
