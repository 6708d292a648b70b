"""Members and leads of teams: who may change whom, and what becomes of teams when people leave."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from host.testing import Client, TwoTenants
from plugins.teams import events, people, public
from plugins.teams.models import TeamMember
from tenants.context import bind
from tests.plugins.teams.test_routes import add, make_role, make_team, may


async def roles(client: Client, team: dict[str, Any]) -> dict[str, str]:
    return {row["user_id"]: row["role"] for row in await client.ask("GET", f"/teams/{team['id']}/members")}


async def test_member_when_plain_then_changes_nobody_and_may_leave(two_tenants: TwoTenants) -> None:
    admin, member, viewer = two_tenants.acme_admin, two_tenants.acme_member, two_tenants.acme_viewer
    team = await make_team(admin)
    await add(admin, team, member)
    path = f"/teams/{team['id']}"
    await member.ask("PUT", f"{path}/members/{member.user_id}", 403, json={"role": "lead"})
    await member.ask("DELETE", f"{path}/members/{admin.user_id}", 403)
    await member.ask("POST", f"{path}/transfer", 403, json={"user_id": str(member.user_id)})
    await member.ask("PATCH", path, 403, json={"name": "Mine"})
    await member.ask("DELETE", path, 403)
    await add(member, team, viewer, 403)
    await member.ask("DELETE", f"{path}/members/{member.user_id}", 204)
    assert await roles(admin, team) == {str(admin.user_id): "lead"}


async def test_lead_when_they_leave_the_team_then_manage_it_no_more(two_tenants: TwoTenants) -> None:
    member, viewer = two_tenants.acme_member, two_tenants.acme_viewer
    team = await make_team(member)
    await add(member, team, viewer)
    path = f"/teams/{team['id']}"
    await member.ask("DELETE", f"{path}/members/{member.user_id}", 409)
    await member.ask("PUT", f"{path}/members/{member.user_id}", 409, json={"role": "member"})
    await member.ask("POST", f"{path}/transfer", 409, json={"user_id": str(two_tenants.globex.user_id)})
    assert (await member.ask("POST", f"{path}/transfer", json={"user_id": str(viewer.user_id)}))["role"] == "lead"
    assert await roles(member, team) == {str(member.user_id): "member", str(viewer.user_id): "lead"}
    await member.ask("PATCH", path, 403, json={"name": "x"})
    await viewer.ask("PATCH", path, json={"name": "y"})
    await member.ask("DELETE", f"{path}/members/{member.user_id}", 204)
    await add(viewer, team, member)
    assert (await roles(viewer, team))[str(member.user_id)] == "member"
    await add(viewer, team, member, 409)


async def test_member_when_changed_with_an_old_version_then_412(acme: Client, two_tenants: TwoTenants) -> None:
    team = await make_team(acme)
    row = await add(acme, team, two_tenants.acme_member)
    path = f"/teams/{team['id']}/members/{row['user_id']}"
    changed = await acme.ask("PUT", path, json={"role": "lead"}, headers={"If-Match": '"1"'})
    assert (changed["role"], changed["version"]) == ("lead", 2)
    await acme.ask("PUT", path, 412, json={"role": "member"}, headers={"If-Match": '"1"'})
    await acme.ask("DELETE", path, 412, headers={"If-Match": '"1"'})
    await acme.ask("PUT", f"/teams/{team['id']}/members/{two_tenants.acme_viewer.user_id}", 404, json={"role": "lead"})


async def test_leads_when_both_leave_at_the_same_time_then_one_stays(two_tenants: TwoTenants) -> None:
    member, admin = two_tenants.acme_member, two_tenants.acme_admin
    for _ in range(5):
        team = await make_team(member)
        await add(member, team, admin, role="lead")
        path = f"/api/v1/teams/{team['id']}/members/"
        answers = await asyncio.gather(member.delete(f"{path}{member.user_id}"), admin.delete(f"{path}{admin.user_id}"))
        assert sorted(answer.status_code for answer in answers) == [204, 409]
        assert list((await roles(admin, team)).values()) == ["lead"]


async def test_lead_when_they_leave_the_organisation_then_who_may_manage_takes_over_in_that_transaction(
    two_tenants: TwoTenants, heard: list[Any]
) -> None:
    owner, admin, member, viewer = (
        two_tenants.acme,
        two_tenants.acme_admin,
        two_tenants.acme_member,
        two_tenants.acme_viewer,
    )
    team, alone = await make_team(member), await make_team(member)
    for person in (viewer, admin):
        await add(member, team, person)
    await add(member, alone, viewer)
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)  # no job runs
    assert await roles(owner, team) == {str(viewer.user_id): "member", str(admin.user_id): "lead"}
    assert await roles(owner, alone) == {str(viewer.user_id): "member"}
    assert [str(each.team_id) for each in heard if isinstance(each, events.TeamLeaderless)] == [alone["id"]]
    assert {each.why for each in heard if isinstance(each, events.TeamMemberRemoved)} == {"left_organisation"}
    await owner.ask("PUT", f"/teams/{alone['id']}/members/{viewer.user_id}", json={"role": "lead"})


async def test_membership_when_its_end_comes_then_gone_with_its_rights(two_tenants: TwoTenants) -> None:
    owner, viewer = two_tenants.acme, two_tenants.acme_viewer
    team = await make_team(owner, role_id=await make_role(owner, "projects.projects.delete"))
    soon = datetime.now(UTC) + timedelta(minutes=30)
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert "ends_at" in (await add(owner, team, viewer, 422, ends_at=past))["details"]
    assert "ends_at" in (await add(owner, team, viewer, 422, role="lead", ends_at=soon.isoformat()))["details"]
    await add(owner, team, viewer, ends_at=soon.isoformat())
    assert await may(owner, viewer, "projects.projects.delete")
    with two_tenants.application.inner.bound(), bind(owner.tenant_id):
        assert await people.expire() == 0
        await TeamMember.filter(user_id=viewer.user_id).update(ends_at=datetime.now(UTC))
        assert await people.expire() == 1
    assert not await may(owner, viewer, "projects.projects.delete")
    assert await roles(owner, team) == {str(owner.user_id): "lead"}


async def test_public_functions_when_asked_then_answer_for_the_bound_tenant(two_tenants: TwoTenants) -> None:
    owner, viewer = two_tenants.acme, two_tenants.acme_viewer
    top = await make_team(owner, "Top")
    low = await make_team(owner, "Low", parent_id=top["id"])
    await add(owner, low, viewer)
    assert viewer.user_id
    with two_tenants.application.inner.bound(), bind(owner.tenant_id):
        found = await public.find(top["id"])
        assert found
        assert found["name"] == "Top"
        assert await public.members_of(top["id"]) == {owner.user_id, viewer.user_id}
        assert not await public.is_lead(low["id"], viewer.user_id)
        assert [team["name"] for team in await public.teams_of(viewer.user_id)] == ["Low"]
    with two_tenants.application.inner.bound(), bind(two_tenants.globex.tenant_id):
        assert await public.find(top["id"]) is None
        assert await public.members_of(top["id"]) == set()
        assert await public.teams_of(viewer.user_id) == []
