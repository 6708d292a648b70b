"""The HTTP endpoints of teams: seeing, changing and nesting them, and the rights they give."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from host.plans import pin_plan
from host.testing import Client, TwoTenants
from plugins.teams import events
from plugins.teams.models import TeamClosure, TeamMember
from tenants.context import bind
from tenants.models import Tenant


async def make_team(client: Client, name: str = "Design", **fields: Any) -> dict[str, Any]:
    team: dict[str, Any] = await client.ask("POST", "/teams", 201, json={"name": name, **fields})
    return team


async def add(client: Client, team: dict[str, Any], person: Client, status: int = 201, **fields: Any) -> Any:
    return await client.ask(
        "POST", f"/teams/{team['id']}/members", status, json={"user_id": str(person.user_id), **fields}
    )


async def make_role(owner: Client, *permissions: str) -> str:
    body = {"name": f"r-{uuid4().hex[:8]}", "permissions": list(permissions)}
    return str((await owner.ask("POST", "/tenant/roles", 201, json=body))["id"])


async def explain(owner: Client, client: Client, permission: str) -> Any:
    question = {"permission": permission, "user_id": str(client.user_id)}
    return await owner.ask("GET", "/tenant/explain", params=question)


async def may(owner: Client, client: Client, permission: str) -> bool:
    return bool((await explain(owner, client, permission))["allowed"])


async def recorded(owner: Client, kind: str, resource_id: str) -> list[str]:
    rows = await owner.ask("GET", f"/audit/resources/{kind}/{resource_id}?outcome=succeeded")
    return [row["action"] for row in rows]


# -- one team --------------------------------------------------------------------------------------------


async def test_team_when_created_then_led_by_its_creator_recorded_and_announced(acme: Client, heard: list[Any]) -> None:
    team = await make_team(acme, "  Größe & Co ")
    assert (team["name"], team["slug"], team["visibility"]) == ("Größe & Co", "grosse-co", "visible")
    assert await acme.ask("GET", f"/teams/{team['id']}") == team
    [lead] = await acme.ask("GET", f"/teams/{team['id']}/members")
    assert (lead["user_id"], lead["role"]) == (str(acme.user_id), "lead")
    [mine] = await acme.ask("GET", "/me/teams")
    assert (mine["id"], mine["role"]) == (team["id"], "lead")
    assert await recorded(acme, "team", team["id"]) == ["teams.teams.create"]
    assert [str(each.team_id) for each in heard if isinstance(each, events.TeamCreated)] == [team["id"]]


async def test_team_when_changed_then_version_counts_and_slugs_stay_unique(acme: Client) -> None:
    team = await make_team(acme)
    assert (await make_team(acme))["slug"] == "design-2"
    path = f"/teams/{team['id']}"
    changed = await acme.ask("PATCH", path, json={"name": "Art", "slug": "art"}, headers={"If-Match": '"1"'})
    assert (changed["name"], changed["slug"], changed["version"]) == ("Art", "art", 2)
    await acme.ask("PATCH", path, 412, json={"name": "Late"}, headers={"If-Match": '"1"'})
    await acme.ask("PATCH", path, 409, json={"slug": "design-2"})
    await acme.ask("DELETE", path, 412, headers={"If-Match": '"1"'})
    await acme.ask("DELETE", path, 204, headers={"If-Match": '"2"'})
    await acme.ask("GET", path, 404)
    assert await acme.ask("GET", "/me/teams") != []  # the other one


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x", "slug": "Not A Slug"}, "slug"),
        ({"name": "x", "visibility": "hidden"}, "visibility"),
        ({"name": "x", "owner": "me"}, "owner"),
        ({"name": "x", "role_id": str(uuid4())}, "role_id"),
    ],
)
async def test_team_when_fields_are_wrong_then_422_names_them(acme: Client, body: dict[str, Any], field: str) -> None:
    assert field in (await acme.ask("POST", "/teams", 422, json=body))["details"]


async def test_team_when_of_another_tenant_then_as_if_never_there(two_tenants: TwoTenants) -> None:
    acme, globex = two_tenants.acme, two_tenants.globex
    team, theirs = await make_team(acme), await make_team(globex)
    path = f"/teams/{team['id']}"
    for method, rest, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "Ours"}),
        ("DELETE", "", None),
        ("PUT", "/parent", {"parent_id": None}),
        ("GET", "/members", None),
        ("POST", "/members", {"user_id": str(globex.user_id)}),
        ("GET", f"/members/{acme.user_id}", None),
        ("PUT", f"/members/{acme.user_id}", {"role": "member"}),
        ("DELETE", f"/members/{acme.user_id}", None),
        ("POST", "/transfer", {"user_id": str(acme.user_id)}),
    ):
        await globex.ask(method, path + rest, 404, **({"json": body} if body is not None else {}))
    await globex.ask("PUT", f"/teams/{theirs['id']}/parent", 404, json={"parent_id": team["id"]})
    await globex.ask("POST", "/teams", 404, json={"name": "Below", "parent_id": team["id"]})
    await globex.ask("POST", f"/teams/{theirs['id']}/members", 422, json={"user_id": str(acme.user_id)})
    assert [row["id"] for row in await globex.ask("GET", "/teams")] == [theirs["id"]]


async def test_secret_team_when_asked_for_by_others_then_as_if_never_there(two_tenants: TwoTenants) -> None:
    member, admin, viewer = two_tenants.acme_member, two_tenants.acme_admin, two_tenants.acme_viewer
    secret = await make_team(member, visibility="secret")
    path = f"/teams/{secret['id']}"
    for rest in ("", "/members", f"/members/{member.user_id}"):
        await viewer.ask("GET", path + rest, 404)
    await viewer.ask("PATCH", path, 404, json={"name": "Mine"})
    await viewer.ask("DELETE", path, 404)
    await viewer.ask("POST", f"{path}/members", 404, json={"user_id": str(viewer.user_id)})
    await viewer.ask("DELETE", f"{path}/members/{member.user_id}", 404)
    await viewer.ask("POST", f"{path}/transfer", 404, json={"user_id": str(member.user_id)})
    assert await viewer.ask("GET", "/teams") == []
    assert [row["id"] for row in await admin.ask("GET", "/teams")] == [secret["id"]]
    await add(member, secret, viewer)
    assert (await viewer.ask("GET", path))["id"] == secret["id"]
    await member.ask("DELETE", f"{path}/members/{viewer.user_id}", 204)
    await viewer.ask("GET", path, 404)
    await member.ask("DELETE", path, 204)


async def on_free_plan(two_tenants: TwoTenants) -> None:
    inner = two_tenants.application.inner
    with inner.bound(), bind(None):
        tenant = await Tenant.get(slug="acme")
        await pin_plan(tenant.id, "free")


async def test_plan_when_used_up_then_402_names_the_limit_and_removing_is_free(two_tenants: TwoTenants) -> None:
    acme, member = two_tenants.acme, two_tenants.acme_member
    await on_free_plan(two_tenants)
    team, *_ = [await make_team(acme) for _ in range(3)]
    assert (await acme.ask("POST", "/teams", 402, json={"name": "More"}))["details"]["name"] == "teams.teams"
    with two_tenants.application.inner.bound(), bind(acme.tenant_id):
        for user_id in (uuid4() for _ in range(24)):
            await TeamMember.create(team_id=UUID(team["id"]), user_id=user_id, principal=f"user:{user_id}")
    assert (await add(acme, team, member, 402))["details"]["name"] == "teams.members"
    await acme.ask("DELETE", f"/teams/{team['id']}", 204)
    other = await make_team(acme)
    await acme.ask("DELETE", f"/teams/{other['id']}", 204)


# -- rights ----------------------------------------------------------------------------------------------


async def test_role_of_a_team_when_given_then_felt_at_once_explained_and_gone_with_the_membership(
    two_tenants: TwoTenants,
) -> None:
    owner, viewer = two_tenants.acme, two_tenants.acme_viewer
    role_id = await make_role(owner, "projects.projects.create")
    team = await make_team(owner, "Builders", role_id=role_id)
    await viewer.ask("POST", "/projects", 403, json={"name": "x"})
    await add(owner, team, viewer)
    await viewer.ask("POST", "/projects", 201, json={"name": "x"})
    steps = (await explain(owner, viewer, "projects.projects.create"))["steps"]
    assert "of the team Builders gives projects.projects.create." in steps[0]
    await owner.ask("DELETE", f"/teams/{team['id']}/members/{viewer.user_id}", 204)
    await viewer.ask("POST", "/projects", 403, json={"name": "y"})
    await add(owner, team, viewer)
    assert await may(owner, viewer, "projects.projects.create")
    await owner.ask("PATCH", f"/teams/{team['id']}", json={"role_id": None})
    assert not await may(owner, viewer, "projects.projects.create")
    await owner.ask("PATCH", f"/teams/{team['id']}", json={"role_id": role_id})
    assert await may(owner, viewer, "projects.projects.create")
    await owner.ask("DELETE", f"/tenant/roles/{role_id}", 204)
    assert not await may(owner, viewer, "projects.projects.create")
    assert (await owner.ask("GET", f"/teams/{team['id']}"))["role_id"] is None


async def test_rights_of_several_teams_when_one_goes_then_what_the_other_gives_stays(two_tenants: TwoTenants) -> None:
    owner, viewer = two_tenants.acme, two_tenants.acme_viewer
    role_id = await make_role(owner, "projects.projects.create")
    other = await make_role(owner, "projects.projects.create", "projects.projects.delete")
    first, second = await make_team(owner, role_id=role_id), await make_team(owner, role_id=other)
    await add(owner, first, viewer)
    await add(owner, second, viewer)
    assert await may(owner, viewer, "projects.projects.delete")
    await owner.ask("DELETE", f"/teams/{second['id']}", 204)
    assert not await may(owner, viewer, "projects.projects.delete")
    assert await may(owner, viewer, "projects.projects.create")


async def test_plugin_when_off_then_no_rights_and_when_on_again_then_rights_of_who_stayed(
    two_tenants: TwoTenants,
) -> None:
    owner, viewer, member = two_tenants.acme, two_tenants.acme_viewer, two_tenants.acme_member
    team = await make_team(owner, role_id=await make_role(owner, "projects.projects.delete"))
    await add(owner, team, viewer)
    await add(owner, team, member)
    await owner.ask("PUT", "/tenant/plugins/teams", json={"enabled": False})
    assert not await may(owner, viewer, "projects.projects.delete")
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)
    await owner.ask("PUT", "/tenant/plugins/teams", json={"enabled": True})
    await two_tenants.application.run_jobs()
    assert await may(owner, viewer, "projects.projects.delete")
    people = {row["user_id"] for row in await owner.ask("GET", f"/teams/{team['id']}/members")}
    assert people == {str(owner.user_id), str(viewer.user_id)}


async def test_role_when_beyond_ones_own_then_neither_given_nor_joined(two_tenants: TwoTenants) -> None:
    owner, admin, member = two_tenants.acme, two_tenants.acme_admin, two_tenants.acme_member
    beyond = await make_role(owner, "tenant.profile.delete")
    refused = await admin.ask("POST", "/teams", 403, json={"name": "x", "role_id": beyond})
    assert refused["details"]["lacking"] == ["tenant.profile.delete"]
    team = await make_team(owner, role_id=beyond)
    await add(admin, team, admin, 403)
    own = await make_team(admin)
    await admin.ask("PATCH", f"/teams/{own['id']}", 403, json={"role_id": beyond})
    await admin.ask("PUT", f"/teams/{own['id']}/parent", 403, json={"parent_id": team["id"]})
    roles = {role["name"]: role["id"] for role in await owner.ask("GET", "/tenant/roles")}
    await owner.ask("POST", "/teams", 422, json={"name": "x", "role_id": roles["owner"]})
    await member.ask("POST", "/teams", 403, json={"name": "x", "role_id": roles["viewer"]})
    led = await make_team(member)
    await member.ask("PATCH", f"/teams/{led['id']}", 403, json={"role_id": roles["viewer"]})


async def test_lead_when_through_an_api_key_then_only_what_the_key_permits(two_tenants: TwoTenants) -> None:
    admin = two_tenants.acme_admin
    team = await make_team(admin)
    body = {"name": "robot", "permissions": ["teams.teams.read"]}
    key = (await admin.ask("POST", "/tenant/api-keys", 201, json=body))["key"]
    async with two_tenants.application.client(Authorization=f"Bearer {key}") as robot:
        assert (await robot.ask("GET", f"/teams/{team['id']}"))["id"] == team["id"]
        await robot.ask("PATCH", f"/teams/{team['id']}", 403, json={"name": "x"})
        await robot.ask("DELETE", f"/teams/{team['id']}", 403)
        await robot.ask("DELETE", f"/teams/{team['id']}/members/{admin.user_id}", 403)


# -- nesting ---------------------------------------------------------------------------------------------


async def test_member_of_a_child_when_nested_then_has_the_parents_rights_never_the_other_way(
    two_tenants: TwoTenants,
) -> None:
    owner, viewer, member = two_tenants.acme, two_tenants.acme_viewer, two_tenants.acme_member
    top = await make_team(owner, "Top", role_id=await make_role(owner, "projects.projects.delete"))
    middle = await make_team(owner, "Middle", parent_id=top["id"])
    low = await make_team(owner, "Low", parent_id=middle["id"], role_id=await make_role(owner, "tenant.profile.delete"))
    await add(owner, low, viewer)
    await add(owner, top, member)
    assert await may(owner, viewer, "projects.projects.delete")
    assert not await may(owner, member, "tenant.profile.delete")
    explained = await explain(owner, viewer, "projects.projects.delete")
    assert "of the team Top, to which Low belongs, gives" in explained["steps"][0]
    await owner.ask("DELETE", f"/teams/{middle['id']}", 409)
    await owner.ask("PUT", f"/teams/{middle['id']}/parent", json={"parent_id": None})
    assert not await may(owner, viewer, "projects.projects.delete")
    await owner.ask("PUT", f"/teams/{low['id']}/parent", json={"parent_id": top["id"]})
    assert await may(owner, viewer, "projects.projects.delete")


async def test_move_when_a_cycle_a_secret_team_or_too_deep_then_409(acme: Client) -> None:
    chain = [await make_team(acme, "Level 1")]
    for number in range(2, 6):
        chain.append(await make_team(acme, f"Level {number}", parent_id=chain[-1]["id"]))
    paths = [f"/teams/{team['id']}/parent" for team in chain]
    for target in (chain[0], chain[4]):
        await acme.ask("PUT", paths[0], 409, json={"parent_id": target["id"]})
    await acme.ask("POST", "/teams", 409, json={"name": "Level 6", "parent_id": chain[4]["id"]})
    single = await make_team(acme, "Single")
    await acme.ask("PUT", paths[0], 409, json={"parent_id": single["id"]})
    await acme.ask("PATCH", f"/teams/{chain[1]['id']}", 409, json={"visibility": "secret"})
    secret = await make_team(acme, "Secret", visibility="secret")
    await acme.ask("PUT", f"/teams/{secret['id']}/parent", 409, json={"parent_id": single["id"]})
    await acme.ask("PUT", f"/teams/{single['id']}/parent", 409, json={"parent_id": secret["id"]})


async def test_moves_when_fifty_at_once_then_no_cycle_and_the_closure_equals_a_walk(two_tenants: TwoTenants) -> None:
    acme = two_tenants.acme
    teams = [await make_team(acme, f"Team {number}") for number in range(6)]
    moves = [(teams[number % 6], teams[(number * 5 + 1 + number // 6) % 6]) for number in range(50)]
    answers = await asyncio.gather(
        *(acme.put(f"/api/v1/teams/{team['id']}/parent", json={"parent_id": to["id"]}) for team, to in moves)
    )
    assert {answer.status_code for answer in answers} == {200, 409}
    parents = {row["id"]: row["parent_id"] for row in await acme.ask("GET", "/teams")}
    walked = set()
    for team_id in parents:
        above, depth = team_id, 0
        while above is not None:
            walked.add((team_id, above, depth))
            above, depth = parents[above], depth + 1
            assert depth <= 5
    with two_tenants.application.inner.bound(), bind(acme.tenant_id):
        rows = await TeamClosure.all().values("descendant_id", "ancestor_id", "depth")
    assert {(str(row["descendant_id"]), str(row["ancestor_id"]), row["depth"]) for row in rows} == walked
