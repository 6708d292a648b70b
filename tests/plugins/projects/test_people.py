"""What becomes of projects and tasks when a person leaves the organisation."""

from __future__ import annotations

from typing import Any

from host.testing import Client, Neighbours
from tenants.context import bind
from tenants.models import Membership, Role


async def make_project(neighbours: Neighbours, leader: Client) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A project that `leader` leads, with an open task and a done one of theirs."""
    project = await leader.ask("POST", "/projects", 201, json={"name": "Apollo"})
    body = {"title": "Land", "assignee_id": str(leader.user_id)}
    path = f"/projects/{project['id']}/tasks"
    task = await leader.ask("POST", path, 201, json=body)
    return project, task, await leader.ask("POST", path, 201, json=body | {"title": "Start", "status": "done"})


async def people(neighbours: Neighbours, project: dict[str, Any]) -> dict[str, str]:
    rows = await neighbours.acme.ask("GET", f"/projects/{project['id']}/members")
    return {row["user_id"]: row["role"] for row in rows}


async def come_back(neighbours: Neighbours, client: Client) -> None:
    with neighbours.house.inner.bound(), bind(client.tenant_id):
        await Membership.create(user_id=client.user_id, role=await Role.get(name="member"))


async def test_lead_when_they_leave_then_an_owner_leads_and_open_tasks_are_nobodys(neighbours: Neighbours) -> None:
    member, owner = neighbours.acme_member, neighbours.acme
    project, task, done = await make_project(neighbours, member)
    await neighbours.house.run_jobs()
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)
    await neighbours.house.run_jobs()
    assert await people(neighbours, project) == {str(owner.user_id): "lead"}
    assert (await owner.ask("GET", f"/tasks/{task['id']}"))["assignee_id"] is None
    assert (await owner.ask("GET", f"/tasks/{done['id']}"))["assignee_id"] == str(member.user_id)
    await come_back(neighbours, member)
    assert await people(neighbours, project) == {str(owner.user_id): "lead"}


async def test_lead_when_another_one_stays_then_nobody_is_put_in_charge(neighbours: Neighbours) -> None:
    member, admin = neighbours.acme_member, neighbours.acme_admin
    project, _, _ = await make_project(neighbours, member)
    path = f"/projects/{project['id']}/members/{admin.user_id}"
    await member.ask("PUT", path, 201, json={"role": "lead"})
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)
    await neighbours.house.run_jobs()
    assert await people(neighbours, project) == {str(admin.user_id): "lead"}


async def test_lead_when_they_leave_while_projects_are_off_then_gone_when_they_are_on_again(
    neighbours: Neighbours,
) -> None:
    member, owner = neighbours.acme_member, neighbours.acme
    project, task, _ = await make_project(neighbours, member)
    await owner.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)
    await neighbours.house.run_jobs()
    await owner.ask("PUT", "/tenant/plugins/projects", json={"enabled": True})
    assert await people(neighbours, project) == {str(owner.user_id): "lead"}
    assert (await owner.ask("GET", f"/tasks/{task['id']}"))["assignee_id"] is None
