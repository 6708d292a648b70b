"""What becomes of projects and tasks when a person leaves the organisation."""

from __future__ import annotations

import asyncio
from typing import Any

from host.testing import Client, TwoTenants
from tenants.context import bind
from tenants.models import Membership, Role


async def make_project(
    two_tenants: TwoTenants, leader: Client
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A project that `leader` leads, with an open task and a done one of theirs."""
    project = await leader.ask("POST", "/projects", 201, json={"name": "Apollo"})
    body = {"title": "Land", "assignee_id": str(leader.user_id)}
    path = f"/projects/{project['id']}/tasks"
    task = await leader.ask("POST", path, 201, json=body)
    return project, task, await leader.ask("POST", path, 201, json=body | {"title": "Start", "status": "done"})


async def people(two_tenants: TwoTenants, project: dict[str, Any]) -> dict[str, str]:
    rows = await two_tenants.acme.ask("GET", f"/projects/{project['id']}/members")
    return {row["user_id"]: row["role"] for row in rows}


async def come_back(two_tenants: TwoTenants, client: Client) -> None:
    with two_tenants.application.inner.bound(), bind(client.tenant_id):
        await Membership.create(user_id=client.user_id, role=await Role.get(name="member"))


async def test_lead_when_they_leave_then_an_owner_leads_and_open_tasks_are_nobodys(two_tenants: TwoTenants) -> None:
    member, owner = two_tenants.acme_member, two_tenants.acme
    project, task, done = await make_project(two_tenants, member)
    await two_tenants.application.run_jobs()
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)
    await two_tenants.application.run_jobs()
    assert await people(two_tenants, project) == {str(owner.user_id): "lead"}
    assert (await owner.ask("GET", f"/tasks/{task['id']}"))["assignee_id"] is None
    assert (await owner.ask("GET", f"/tasks/{done['id']}"))["assignee_id"] == str(member.user_id)
    await come_back(two_tenants, member)
    assert await people(two_tenants, project) == {str(owner.user_id): "lead"}


async def test_lead_when_another_one_stays_then_nobody_is_put_in_charge(two_tenants: TwoTenants) -> None:
    member, admin = two_tenants.acme_member, two_tenants.acme_admin
    project, _, _ = await make_project(two_tenants, member)
    path = f"/projects/{project['id']}/members/{admin.user_id}"
    await member.ask("PUT", path, 201, json={"role": "lead"})
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)
    await two_tenants.application.run_jobs()
    assert await people(two_tenants, project) == {str(admin.user_id): "lead"}


async def test_lead_when_they_leave_while_projects_are_off_then_gone_when_they_are_on_again(
    two_tenants: TwoTenants,
) -> None:
    member, owner = two_tenants.acme_member, two_tenants.acme
    project, task, _ = await make_project(two_tenants, member)
    await owner.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)
    await two_tenants.application.run_jobs()
    await owner.ask("PUT", "/tenant/plugins/projects", json={"enabled": True})
    assert await people(two_tenants, project) == {str(owner.user_id): "lead"}
    assert (await owner.ask("GET", f"/tasks/{task['id']}"))["assignee_id"] is None


async def test_lead_when_the_only_one_then_neither_lowered_nor_taken_out_until_another_leads(
    two_tenants: TwoTenants,
) -> None:
    member, admin = two_tenants.acme_member, two_tenants.acme_admin
    project, _, _ = await make_project(two_tenants, member)
    path = f"/projects/{project['id']}/members/"
    await admin.ask("PUT", f"{path}{member.user_id}", 409, json={"role": "viewer"})
    await admin.ask("DELETE", f"{path}{member.user_id}", 409)
    await admin.ask("PUT", f"{path}{member.user_id}", 200, json={"role": "lead"})
    await admin.ask("PUT", f"{path}{admin.user_id}", 201, json={"role": "lead"})
    await admin.ask("DELETE", f"{path}{member.user_id}", 204)
    assert await people(two_tenants, project) == {str(admin.user_id): "lead"}


async def test_leads_when_both_step_down_at_the_same_time_then_one_stays(two_tenants: TwoTenants) -> None:
    member, admin = two_tenants.acme_member, two_tenants.acme_admin
    project, _, _ = await make_project(two_tenants, member)
    path = f"/api/v1/projects/{project['id']}/members/"
    await admin.put(f"{path}{admin.user_id}", json={"role": "lead"})
    answers = await asyncio.gather(
        member.put(f"{path}{member.user_id}", json={"role": "viewer"}), admin.delete(f"{path}{admin.user_id}")
    )
    assert sorted(answer.status_code for answer in answers) in ([200, 409], [204, 409])
    assert list((await people(two_tenants, project)).values()).count("lead") == 1


async def test_lead_of_an_archived_project_when_they_leave_then_open_tasks_are_nobodys(
    two_tenants: TwoTenants,
) -> None:
    member, owner = two_tenants.acme_member, two_tenants.acme
    project, task, _ = await make_project(two_tenants, member)
    await owner.ask("PATCH", f"/projects/{project['id']}", json={"status": "archived"})
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)
    await two_tenants.application.run_jobs()
    assert await people(two_tenants, project) == {str(owner.user_id): "lead"}
    assert (await owner.ask("GET", f"/tasks/{task['id']}"))["assignee_id"] is None
