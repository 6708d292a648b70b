"""`/tenant/members` and `/tenant/invitations`."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from host.testing import Client, TwoTenants


async def role_ids(client: Client) -> dict[str, str]:
    return {role["name"]: role["id"] for role in await client.ask("GET", "/tenant/roles?limit=100")}


async def invited(two_tenants: TwoTenants, email: str, role: str = "member") -> dict[str, Any]:
    body = {"email": email, "role_id": (await role_ids(two_tenants.acme))[role]}
    return dict(await two_tenants.acme.ask("POST", "/tenant/invitations", 201, json=body))


async def test_members_when_listed_then_those_of_the_tenant_only(two_tenants: TwoTenants) -> None:
    rows = await two_tenants.acme.ask("GET", "/tenant/members?limit=2")
    assert len(rows) == 2
    rows = await two_tenants.acme.ask("GET", "/tenant/members")
    assert {row["email"].split("@")[1] for row in rows} == {"acme.example"}
    assert {row["role"]["name"] for row in rows} == {"owner", "admin", "member", "viewer"}


async def test_member_when_given_another_role_then_it_counts_at_the_next_request(two_tenants: TwoTenants) -> None:
    viewer = two_tenants.acme_viewer
    await viewer.ask("POST", "/projects", 403, json={"name": "No"})
    body = {"role_id": (await role_ids(two_tenants.acme))["admin"]}
    await two_tenants.acme.ask("PATCH", f"/tenant/members/{viewer.user_id}", json=body)
    await viewer.ask("POST", "/projects", 201, json={"name": "Yes"})
    await two_tenants.acme.ask("DELETE", f"/tenant/members/{viewer.user_id}", 204)
    assert (await viewer.ask("GET", "/projects", 404))["code"] == "NOT_FOUND"


async def test_last_owner_when_leaving_or_demoted_then_refused(two_tenants: TwoTenants) -> None:
    owner = two_tenants.acme
    body = {"role_id": (await role_ids(owner))["member"]}
    await owner.ask("PATCH", f"/tenant/members/{owner.user_id}", 409, json=body)
    await owner.ask("DELETE", f"/tenant/members/{owner.user_id}", 409)
    second = {"role_id": (await role_ids(owner))["owner"]}
    await owner.ask("PATCH", f"/tenant/members/{two_tenants.acme_admin.user_id}", json=second)
    await owner.ask("DELETE", f"/tenant/members/{owner.user_id}", 204)


async def test_admin_when_touching_an_owner_or_granting_ownership_then_refused(two_tenants: TwoTenants) -> None:
    admin, roles = two_tenants.acme_admin, await role_ids(two_tenants.acme)
    refused = await admin.ask(
        "PATCH", f"/tenant/members/{two_tenants.acme.user_id}", 403, json={"role_id": roles["viewer"]}
    )
    assert refused["code"] == "PERMISSION_DENIED"
    await admin.ask("PATCH", f"/tenant/members/{admin.user_id}", 403, json={"role_id": roles["owner"]})
    await admin.ask("DELETE", f"/tenant/members/{two_tenants.acme.user_id}", 403)
    await admin.ask("POST", "/tenant/invitations", 403, json={"email": "x@example.com", "role_id": roles["owner"]})


async def test_member_when_leaving_then_gone_and_the_place_is_free_again(two_tenants: TwoTenants) -> None:
    member = two_tenants.acme_member
    await member.ask("DELETE", f"/tenant/members/{two_tenants.acme_viewer.user_id}", 403)
    await member.ask("DELETE", f"/tenant/members/{member.user_id}", 204)
    await member.ask("GET", "/tenant", 404)


async def test_other_tenants_members_and_roles_when_named_then_like_random_ids(two_tenants: TwoTenants) -> None:
    foreign_role = (await role_ids(two_tenants.globex))["member"]
    for path in ("/tenant/members/{}", "/tenant/roles/{}"):
        foreign = two_tenants.globex_member.user_id if "members" in path else foreign_role
        for each in (foreign, uuid4()):
            await two_tenants.acme.ask("DELETE", path.format(each), 404)
    answers = [
        await two_tenants.acme.ask("POST", "/tenant/invitations", 422, json={"email": "a@example.com", "role_id": role})
        for role in (foreign_role, str(uuid4()))
    ]
    assert answers[0]["details"] == answers[1]["details"] == {"role_id": "there is no such role"}


async def test_invitation_when_accepted_then_member_once_and_only_for_the_address_invited(
    two_tenants: TwoTenants,
) -> None:
    token = (await invited(two_tenants, "member@globex.example"))["token"]
    await two_tenants.globex.ask("POST", "/invitations/accept", 403, json={"token": token})
    joined = await two_tenants.globex_member.ask("POST", "/invitations/accept", json={"token": token})
    assert joined["slug"] == "acme"
    await two_tenants.globex_member.ask("POST", "/invitations/accept", 404, json={"token": token})
    await two_tenants.globex_member.ask("GET", "/projects", headers={"X-Tenant": "acme"})
    assert await two_tenants.acme.ask("GET", "/tenant/invitations") == []


async def test_invitation_when_withdrawn_forged_or_for_a_member_then_refused(two_tenants: TwoTenants) -> None:
    made = await invited(two_tenants, "member@globex.example")
    await two_tenants.globex.ask("DELETE", f"/tenant/invitations/{made['id']}", 404)
    await two_tenants.acme.ask("DELETE", f"/tenant/invitations/{made['id']}", 204)
    for token in (made["token"], made["token"][:-1] + "x", "", "a.b", "é", "=" * 50, "x" * 5000):
        await two_tenants.globex_member.ask("POST", "/invitations/accept", 404, json={"token": token})
    body = {"email": "member@acme.example", "role_id": (await role_ids(two_tenants.acme))["viewer"]}
    await two_tenants.acme.ask("POST", "/tenant/invitations", 409, json=body)


async def test_invitation_when_the_plan_allows_no_more_then_402(two_tenants: TwoTenants) -> None:
    token = (await invited(two_tenants, "member@globex.example"))["token"]
    with two_tenants.application.inner.bound():
        await two_tenants.application.inner.provisioning.set_limit(two_tenants.acme.tenant_id, "tenant.members", "1")
    refused = await two_tenants.globex_member.ask("POST", "/invitations/accept", 402, json={"token": token})
    assert (refused["code"], refused["details"]["limit"]) == ("QUOTA_EXCEEDED", 1)
