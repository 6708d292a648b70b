"""What two requests do to one organisation at the same instant; on PostgreSQL each has a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from host.identity.models import ApiKey
from host.services import unit_of_work
from host.testing import Client, TwoTenants
from tenants.context import bind
from tenants.models import Invitation, Membership, Role

ROUNDS = 25
Step = Callable[[Client, dict[str, str]], Awaitable[int]]


async def give_up(client: Client, roles: dict[str, str]) -> int:
    path = f"/api/v1/tenant/members/{client.user_id}"
    return (await client.patch(path, json={"role_id": roles["member"]})).status_code


async def leave(client: Client, roles: dict[str, str]) -> int:
    return (await client.delete(f"/api/v1/tenant/members/{client.user_id}")).status_code


async def make_owners(two_tenants: TwoTenants, *clients: Client) -> dict[str, str]:
    """Both own acme; the ids of its roles by name. `chief` may do everything too, as a role of its own would."""
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        await Role.get_or_create(name="chief", defaults={"all_permission": True})
        await Role.filter(name="chief").update(all_permission=True)
        roles = {role.name: role for role in await Role.all()}
        for client, role in zip(clients, ("owner", "chief"), strict=True):
            place, _ = await Membership.get_or_create(user_id=client.user_id, defaults={"role": roles[role]})
            await Membership.filter(id=place.id).update(role_id=roles[role].id)
        async with unit_of_work() as work:
            for client in clients:
                work.touch(tenant=client.tenant_id, user=client.user_id)
    return {name: str(role.id) for name, role in roles.items()}


async def owners(two_tenants: TwoTenants) -> int:
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        return await Membership.filter(role__all_permission=True).count()


@pytest.mark.parametrize(
    ("first", "second"),
    [(give_up, give_up), (leave, leave), (give_up, leave)],
    ids=["both step down", "both leave", "one each"],
)
async def test_two_owners_when_they_go_at_the_same_instant_then_one_stays(
    two_tenants: TwoTenants, first: Step, second: Step
) -> None:
    for _ in range(ROUNDS):
        roles = await make_owners(two_tenants, two_tenants.acme, two_tenants.acme_admin)
        ends = await asyncio.gather(first(two_tenants.acme, roles), second(two_tenants.acme_admin, roles))
        assert await owners(two_tenants) == 1, ends
        assert sorted(ends)[1] == 409, ends


async def test_owner_when_the_other_ones_role_is_lowered_at_the_same_instant_then_one_stays(
    two_tenants: TwoTenants,
) -> None:
    for _ in range(ROUNDS):
        roles = await make_owners(two_tenants, two_tenants.acme, two_tenants.acme_admin)
        lowering = two_tenants.acme.patch(f"/api/v1/tenant/roles/{roles['chief']}", json={"all_permission": False})
        answer, left = await asyncio.gather(lowering, leave(two_tenants.acme, roles))
        assert await owners(two_tenants) == 1, (answer.status_code, left)


async def test_address_when_invited_many_times_at_once_then_one_invitation_is_open(two_tenants: TwoTenants) -> None:
    roles = await make_owners(two_tenants, two_tenants.acme, two_tenants.acme_admin)
    body = {"email": "new@example.com", "role_id": roles["member"]}
    with two_tenants.application.inner.bound():
        await two_tenants.application.inner.provisioning.set_limit(
            two_tenants.acme.tenant_id, "tenant.invitations_per_address", "unlimited"
        )
    answers = await asyncio.gather(*(two_tenants.acme.post("/api/v1/tenant/invitations", json=body) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        assert await Invitation.filter(email="new@example.com").count() == 1


async def test_lasting_quotas_when_200_ask_at_once_then_exactly_as_many_as_allowed_get_it(
    two_tenants: TwoTenants,
) -> None:
    roles = await make_owners(two_tenants, two_tenants.acme, two_tenants.acme_admin)
    with two_tenants.application.inner.bound():
        for limit in ("tenant.members", "tenant.api_keys", "projects.projects"):
            await two_tenants.application.inner.provisioning.set_limit(two_tenants.acme.tenant_id, limit, "9")
    asked = [
        ("/tenant/invitations", lambda n: {"email": f"p{n}@example.com", "role_id": roles["member"]}),
        ("/tenant/api-keys", lambda n: {"name": f"k{n}", "permissions": ["projects.projects.read"]}),
        ("/projects", lambda n: {"name": f"project {n}"}),
    ]
    for path, body in asked:
        sent = (two_tenants.acme.post(f"/api/v1{path}", json=body(number)) for number in range(67))
        statuses = [answer.status_code for answer in await asyncio.gather(*sent)]
        places = 9 - 4 if path == "/tenant/invitations" else 9  # four members are there already
        assert (statuses.count(201), statuses.count(402)) == (places, 67 - places), path
    used = {row["name"]: row["used"] for row in await two_tenants.acme.ask("GET", "/usage")}
    assert (used["tenant.members"], used["tenant.api_keys"], used["projects.projects"]) == (9, 9, 9)
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        assert await ApiKey.all().count() == 9
