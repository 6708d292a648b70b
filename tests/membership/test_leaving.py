"""Whoever leaves takes along what they were given, made and promised; who comes back begins anew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from host.contracts import Event
from host.identity.models import ApiKey
from host.membership.events import MemberJoined, MemberLeft, MemberRoleChanged
from host.testing import Client, TwoTenants
from tenants.context import bind
from tenants.models import Invitation, Role, User

KEY = {"name": "CI", "permissions": ["projects.projects.read"]}


async def role_ids(client: Client) -> dict[str, str]:
    return {role["name"]: role["id"] for role in await client.ask("GET", "/tenant/roles?limit=100")}


async def used(client: Client, limit: str) -> int:
    return next(row["used"] for row in await client.ask("GET", "/usage") if row["name"] == limit)


async def invited(client: Client, email: str, role: str = "member") -> dict[str, Any]:
    body = {"email": email, "role_id": (await role_ids(client))[role]}
    return dict(await client.ask("POST", "/tenant/invitations", 201, json=body))


def told(heard: list[Event]) -> list[Event]:
    return [event for event in heard if isinstance(event, MemberJoined | MemberLeft | MemberRoleChanged)]


async def test_member_when_removed_and_invited_again_then_their_keys_stay_ended(two_tenants: TwoTenants) -> None:
    owner, admin = two_tenants.acme, two_tenants.acme_admin
    made = await admin.ask("POST", "/tenant/api-keys", 201, json=KEY)
    async with two_tenants.application.client(Authorization=f"Bearer {made['key']}") as program:
        await program.ask("GET", "/projects")
        await owner.ask("DELETE", f"/tenant/members/{admin.user_id}", 204)
        assert await used(owner, "tenant.api_keys") == 0
        await program.ask("GET", "/projects", 401)
        token = (await invited(owner, "admin@acme.example", "admin"))["token"]
        await admin.ask("POST", "/invitations/accept", json={"token": token})
        await program.ask("GET", "/projects", 401)
    assert await owner.ask("GET", "/tenant/api-keys") == []


async def test_member_when_joining_changing_and_leaving_then_each_is_announced_once(
    two_tenants: TwoTenants, heard: list[Event]
) -> None:
    owner, newcomer = two_tenants.acme, two_tenants.globex_member
    invitation = await invited(owner, "member@globex.example")
    await newcomer.ask("POST", "/invitations/accept", json={"token": invitation["token"]})
    viewer = {"role_id": (await role_ids(owner))["viewer"]}
    for _ in range(2):  # the second time nothing changes
        await owner.ask("PATCH", f"/tenant/members/{newcomer.user_id}", json=viewer)
    await newcomer.ask("DELETE", f"/tenant/members/{newcomer.user_id}", 204, headers={"X-Tenant": "acme"})
    assert newcomer.user_id
    assert told(heard) == [
        MemberJoined(
            user_id=newcomer.user_id, role="member", invited_by=owner.user_id, invitation_id=UUID(invitation["id"])
        ),
        MemberRoleChanged(user_id=newcomer.user_id, before="member", after="viewer", changed_by=owner.user_id),
        MemberLeft(user_id=newcomer.user_id, role="viewer", removed_by=newcomer.user_id),
    ]


async def test_change_when_refused_then_nobody_hears_of_it(two_tenants: TwoTenants) -> None:
    await two_tenants.acme.ask("DELETE", f"/tenant/members/{two_tenants.acme.user_id}", 409)
    assert await two_tenants.application.run_jobs() == 0


async def test_invitation_when_its_maker_is_removed_then_withdrawn(two_tenants: TwoTenants) -> None:
    made = await invited(two_tenants.acme_admin, "member@globex.example")
    await two_tenants.acme.ask("DELETE", f"/tenant/members/{two_tenants.acme_admin.user_id}", 204)
    assert await two_tenants.acme.ask("GET", "/tenant/invitations") == []
    await two_tenants.globex_member.ask("POST", "/invitations/accept", 404, json={"token": made["token"]})


@pytest.mark.parametrize("invited_as", ["admin", "viewer"])
async def test_invitation_when_its_maker_is_lowered_then_worth_what_they_could_give_now(
    two_tenants: TwoTenants, invited_as: str
) -> None:
    made = await invited(two_tenants.acme_admin, "member@globex.example", invited_as)
    roles = await role_ids(two_tenants.acme)
    path = f"/tenant/members/{two_tenants.acme_admin.user_id}"
    await two_tenants.acme.ask("PATCH", path, json={"role_id": roles["member"]})  # who may not invite at all
    await two_tenants.globex_member.ask("POST", "/invitations/accept", 404, json={"token": made["token"]})
    inviter = {"name": "greeter", "permissions": ["tenant.invitations.create", "tenant.roles.read"]}
    greeter = await two_tenants.acme.ask("POST", "/tenant/roles", 201, json=inviter)
    await two_tenants.acme.ask(
        "PATCH", path, json={"role_id": greeter["id"]}
    )  # may invite, but gives not even that much
    await two_tenants.globex_member.ask("POST", "/invitations/accept", 404, json={"token": made["token"]})
    await two_tenants.acme.ask("PATCH", path, json={"role_id": roles["admin"]})
    await two_tenants.globex_member.ask("POST", "/invitations/accept", json={"token": made["token"]})


async def test_invitation_when_its_maker_is_disabled_or_its_role_grew_then_refused(two_tenants: TwoTenants) -> None:
    made = await invited(two_tenants.acme_admin, "member@globex.example")
    accept = {"json": {"token": made["token"]}}
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        await User.filter(id=two_tenants.acme_admin.user_id).update(disabled_at=datetime.now(UTC))
        await two_tenants.globex_member.ask("POST", "/invitations/accept", 404, **accept)
        await User.filter(id=two_tenants.acme_admin.user_id).update(disabled_at=None)
        await Role.filter(name="member").update(all_permission=True)
        await two_tenants.globex_member.ask("POST", "/invitations/accept", 404, **accept)
        await Role.filter(name="member").update(all_permission=False)
    await two_tenants.globex_member.ask("POST", "/invitations/accept", **accept)


@pytest.mark.parametrize("step", ["suspend", "delete"])
async def test_invitation_when_the_organisation_is_not_open_then_nobody_joins(
    two_tenants: TwoTenants, step: str
) -> None:
    token = {"token": (await invited(two_tenants.acme, "member@globex.example"))["token"]}
    provisioning, tenant_id = two_tenants.application.inner.provisioning, two_tenants.acme.tenant_id
    assert tenant_id
    with two_tenants.application.inner.bound():
        await (provisioning.suspend(tenant_id, "unpaid") if step == "suspend" else provisioning.delete(tenant_id))
        refused = await two_tenants.globex_member.ask("POST", "/invitations/accept", 403, json=token)
        assert refused["code"] == "TENANT_SUSPENDED"
        await provisioning.resume(tenant_id)
    await two_tenants.globex_member.ask("POST", "/invitations/accept", json=token)


async def test_person_when_removed_then_no_older_invitation_to_them_brings_them_back(two_tenants: TwoTenants) -> None:
    newcomer = two_tenants.globex_member
    old = await invited(two_tenants.acme, "elsewhere@example.com")
    token = (await invited(two_tenants.acme, "member@globex.example"))["token"]
    await newcomer.ask("POST", "/invitations/accept", json={"token": token})
    with two_tenants.application.inner.bound():  # the person's address changes to one that was invited too
        await User.filter(id=newcomer.user_id).update(email="elsewhere@example.com")
    await newcomer.ask("POST", "/invitations/accept", 409, json={"token": old["token"]})
    await two_tenants.acme.ask("DELETE", f"/tenant/members/{newcomer.user_id}", 204)
    await newcomer.ask("POST", "/invitations/accept", 404, json={"token": old["token"]})


async def test_owner_when_the_other_one_is_disabled_then_the_last(two_tenants: TwoTenants) -> None:
    owner, admin = two_tenants.acme, two_tenants.acme_admin
    path = f"/tenant/members/{admin.user_id}"
    await owner.ask("PATCH", path, json={"role_id": (await role_ids(owner))["owner"]})
    with two_tenants.application.inner.bound():
        await User.filter(id=admin.user_id).update(disabled_at=datetime.now(UTC))
    await owner.ask("DELETE", f"/tenant/members/{owner.user_id}", 409)


async def test_places_when_invitations_are_open_then_they_count_until_expired_or_withdrawn(
    two_tenants: TwoTenants,
) -> None:
    owner, application = two_tenants.acme, two_tenants.application.inner
    with application.bound():
        await application.provisioning.set_limit(owner.tenant_id, "tenant.members", "6")  # type: ignore[arg-type]
    first = await invited(owner, "one@example.com")
    await invited(owner, "two@example.com")
    assert await used(owner, "tenant.members") == 6
    body = {"email": "three@example.com", "role_id": (await role_ids(owner))["member"]}
    refused = await owner.ask("POST", "/tenant/invitations", 402, json=body)
    assert (refused["details"]["limit"], refused["details"]["used"]) == (6, 6)
    await invited(owner, "Two@Example.com")  # again: the same place
    with application.bound(), bind(owner.tenant_id):
        await Invitation.filter(id=first["id"]).update(expires_at=datetime.now(UTC))
    listed = await owner.ask("GET", "/tenant/invitations")
    assert {row["email"]: row["expired"] for row in listed} == {"one@example.com": True, "two@example.com": False}
    await owner.ask("POST", "/tenant/invitations", 201, json=body)


async def test_address_when_invited_again_and_again_then_left_in_peace(two_tenants: TwoTenants) -> None:
    for _ in range(3):
        await invited(two_tenants.acme, "new@example.com")
    body = {"email": "NEW@example.com", "role_id": (await role_ids(two_tenants.acme))["member"]}
    refused = await two_tenants.acme.ask("POST", "/tenant/invitations", 429, json=body)
    assert refused["details"]["limit"] == "tenant.invitations_per_address"
    await invited(two_tenants.acme, "other@example.com")


async def test_keys_when_expired_then_take_no_place_and_say_so(two_tenants: TwoTenants) -> None:
    owner, application = two_tenants.acme, two_tenants.application.inner

    made = await owner.ask("POST", "/tenant/api-keys", 201, json=KEY)
    assert made["expired"] is False
    with application.bound(), bind(owner.tenant_id):
        await application.provisioning.set_limit(owner.tenant_id, "tenant.api_keys", "1")  # type: ignore[arg-type]
        await owner.ask("POST", "/tenant/api-keys", 402, json=KEY)
        await ApiKey.filter(id=made["id"]).update(expires_at=datetime.now(UTC))
    await owner.ask("POST", "/tenant/api-keys", 201, json=KEY)
    assert sorted(row["expired"] for row in await owner.ask("GET", "/tenant/api-keys")) == [False, True]
    assert await used(owner, "tenant.api_keys") == 1
