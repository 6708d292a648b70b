"""`/tenant/roles` and `/tenant/permissions`."""

from __future__ import annotations

from host.testing import TwoTenants


async def test_role_when_made_changed_and_deleted_then_its_holders_feel_it(two_tenants: TwoTenants) -> None:
    owner, viewer = two_tenants.acme, two_tenants.acme_viewer
    body = {"name": "planner", "permissions": ["projects.projects.create", "projects.projects.read"]}
    role = await owner.ask("POST", "/tenant/roles", 201, json=body)
    await owner.ask("PATCH", f"/tenant/members/{viewer.user_id}", json={"role_id": role["id"]})
    await viewer.ask("POST", "/projects", 201, json={"name": "Planned"})
    await owner.ask("DELETE", f"/tenant/roles/{role['id']}", 409)
    await owner.ask("PATCH", f"/tenant/roles/{role['id']}", json={"permissions": ["projects.projects.read"]})
    await viewer.ask("POST", "/projects", 403, json={"name": "Not any more"})
    await viewer.ask("GET", "/projects")
    await owner.ask("DELETE", f"/tenant/members/{viewer.user_id}", 204)
    await owner.ask("DELETE", f"/tenant/roles/{role['id']}", 204)


async def test_role_when_its_name_is_taken_or_a_permission_unknown_then_refused(two_tenants: TwoTenants) -> None:
    await two_tenants.acme.ask("POST", "/tenant/roles", 409, json={"name": "member"})
    refused = await two_tenants.acme.ask("POST", "/tenant/roles", 422, json={"name": "x", "permissions": ["a.b.c"]})
    assert "a.b.c" in refused["details"]["permissions"]


async def test_roles_when_built_in_then_shown_with_what_plugins_give_and_not_changed(two_tenants: TwoTenants) -> None:
    roles = {role["name"]: role for role in await two_tenants.acme.ask("GET", "/tenant/roles")}
    assert roles["owner"]["all_permission"] is True
    assert "projects.tasks.create" in roles["member"]["permissions"]
    assert "projects.tasks.create" not in roles["viewer"]["permissions"]
    await two_tenants.acme.ask("PATCH", f"/tenant/roles/{roles['viewer']['id']}", 409, json={"title": "X"})
    await two_tenants.acme.ask("DELETE", f"/tenant/roles/{roles['viewer']['id']}", 409)


async def test_admin_when_granting_more_than_held_then_refused_by_name(two_tenants: TwoTenants) -> None:
    wanted = {"name": "super", "permissions": ["tenant.profile.delete", "projects.tasks.read"]}
    refused = await two_tenants.acme_admin.ask("POST", "/tenant/roles", 403, json=wanted)
    assert refused["details"]["lacking"] == ["tenant.profile.delete"]
    refused = await two_tenants.acme_admin.ask("POST", "/tenant/roles", 403, json={"name": "x", "all_permission": True})
    assert refused["details"]["lacking"] == ["all_permission"]
    ordinary = {"name": "ordinary", "permissions": ["projects.tasks.read"]}
    await two_tenants.acme_admin.ask("POST", "/tenant/roles", 201, json=ordinary)


async def test_permissions_when_listed_then_say_which_are_held(two_tenants: TwoTenants) -> None:
    rows = {row["name"]: row for row in await two_tenants.acme_viewer.ask("GET", "/tenant/permissions")}
    assert rows["projects.tasks.read"]["held"] is True
    assert rows["projects.tasks.create"] | {"summary": ""} == {
        "name": "projects.tasks.create",
        "summary": "",
        "plugin": "projects",
        "held": False,
    }


async def test_role_when_the_only_owner_holds_it_then_it_keeps_all_permission(two_tenants: TwoTenants) -> None:
    owner = two_tenants.acme
    chief = await owner.ask("POST", "/tenant/roles", 201, json={"name": "chief", "all_permission": True})
    path = f"/tenant/roles/{chief['id']}"
    await owner.ask("PATCH", f"/tenant/members/{owner.user_id}", json={"role_id": chief["id"]})
    refused = await owner.ask("PATCH", path, 409, json={"all_permission": False})
    assert "owner" in refused["message"]
    await owner.ask("DELETE", path, 409)
    assert (await owner.ask("PATCH", path, json={"title": "Chief"}))["all_permission"] is True
    built_in = next(role for role in await owner.ask("GET", "/tenant/roles") if role["name"] == "owner")
    await owner.ask("PATCH", f"/tenant/members/{two_tenants.acme_admin.user_id}", json={"role_id": built_in["id"]})
    assert (await owner.ask("PATCH", path, json={"all_permission": False}))["all_permission"] is False
