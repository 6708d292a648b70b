"""What members stand for and may do, with what plugins add: principals, grants, levels, and their sources."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from host.contracts import Event
from host.errors import ConfigurationError, PermissionDenied
from host.execution_context import execution_context, grants, in_tenant, principals, use_context
from host.membership.events import MemberJoined
from host.membership.people import level, may, members, people, principal_names, principals_of, refuse_beyond_own
from host.services import unit_of_work
from host.testing import Client, TwoTenants
from tenants.access import Grants
from tenants.context import bind
from tenants.models import User

PERMISSION = "crews.shut.read"


async def change(both: TwoTenants, client: Client) -> None:
    """What a plugin does when it changes what somebody stands for."""
    with both.application.inner.bound(), bind(client.tenant_id):
        async with unit_of_work() as work:
            work.touch(user=client.user_id)


async def me(client: Client) -> dict[str, Any]:
    return dict(await client.ask("GET", "/crews/me"))


class InTenant:
    """Binds the application and a client's tenant, as a job would."""

    def __init__(self, both: TwoTenants, client: Client) -> None:
        self._both, self._client = both, client

    async def __aenter__(self) -> None:
        assert self._client.tenant_id is not None
        facts = await self._both.application.inner.callbacks.snapshot_of(self._client.tenant_id)
        self._bound, self._in = self._both.application.inner.bound(), in_tenant(facts)
        self._bound.__enter__()
        self._in.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        self._in.__exit__(None, None, None)
        self._bound.__exit__(None, None, None)


async def test_principals_when_a_plugin_adds_some_then_felt_at_the_next_request_after_its_touch(
    crewed: TwoTenants, crews: ModuleType
) -> None:
    member = crewed.acme_member
    before = (await me(member))["principals"]
    assert f"user:{member.user_id}" in before
    assert "org" in before
    assert len([each for each in before if each.startswith("role:")]) == 1
    crews.CREWS[member.user_id] = ["blue"]
    assert (await me(member))["level"] == "read"  # nobody was told yet
    await change(crewed, member)
    assert await me(member) == {"principals": sorted([*before, "crew:blue"]), "level": "write"}
    crews.CREWS.clear()
    await change(crewed, member)
    assert await me(member) == {"principals": before, "level": "read"}


async def test_grant_when_given_by_a_plugin_then_allows_is_explained_and_narrows_keys(
    crewed: TwoTenants, crews: ModuleType
) -> None:
    admin = crewed.acme_admin
    await admin.ask("GET", "/crews/shut", 403)
    crews.CREWS[admin.user_id] = ["red", "blue"]
    crews.GRANTS |= {"red": frozenset({PERMISSION, "no.such.permission"}), "blue": frozenset({PERMISSION})}
    await change(crewed, admin)
    await admin.ask("GET", "/crews/shut")
    explained = await admin.ask("GET", "/tenant/explain", params={"permission": PERMISSION})
    assert explained["allowed"]
    assert explained["steps"][:2] == [f"The crew red gives {PERMISSION}.", f"The crew blue gives {PERMISSION}."]
    other = {"permission": PERMISSION, "user_id": str(admin.user_id)}
    assert (await crewed.acme.ask("GET", "/tenant/explain", params=other))["steps"] == explained["steps"]
    await crewed.globex.ask("GET", "/tenant/explain", 404, params=other)

    body = {"name": "robot", "permissions": [PERMISSION]}
    key = (await admin.ask("POST", "/tenant/api-keys", 201, json=body))["key"]
    async with crewed.application.client(Authorization=f"Bearer {key}") as robot:
        await robot.ask("GET", "/crews/shut")
        crews.GRANTS["red"] = frozenset()
        await change(crewed, admin)
        await robot.ask("GET", "/crews/shut")  # the union: one source is enough
        crews.CREWS.clear()
        await change(crewed, admin)
        await robot.ask("GET", "/crews/shut", 403)
    await admin.ask("GET", "/crews/shut", 403)


async def test_grants_when_the_plugin_is_off_or_fails_then_none_and_asked_again(
    crewed: TwoTenants, crews: ModuleType
) -> None:
    admin, owner = crewed.acme_admin, crewed.acme
    crews.CREWS[admin.user_id] = ["red"]
    crews.GRANTS["red"] = frozenset({"tenant.profile.delete"})
    question = {"permission": "tenant.profile.delete"}

    async def allowed() -> bool:
        return bool((await admin.ask("GET", "/tenant/explain", params=question))["allowed"])

    await change(crewed, admin)
    assert await allowed()
    await owner.ask("PUT", "/tenant/plugins/crews", json={"enabled": False})
    await crewed.application.run_jobs()
    assert not await allowed()
    await owner.ask("PUT", "/tenant/plugins/crews", json={"enabled": True})
    await crewed.application.run_jobs()
    assert await allowed()
    crews.BROKEN.add("contribute_grants")
    await change(crewed, admin)
    assert not await allowed()
    crews.BROKEN.clear()
    assert await allowed()  # without a touch: a failure is not kept


async def test_grants_when_the_plugin_goes_into_quarantine_then_gone_at_once(
    crewed: TwoTenants, crews: ModuleType
) -> None:
    admin = crewed.acme_admin
    crews.CREWS[admin.user_id] = ["red"]
    crews.GRANTS["red"] = frozenset({"tenant.profile.delete"})
    await change(crewed, admin)
    snapshots = crewed.application.inner.services.snapshots
    assert admin.tenant_id
    assert admin.user_id
    with crewed.application.inner.bound():
        for held in (True, False):
            member = await snapshots.member(admin.tenant_id, admin.user_id, b"1", b"1")  # the same tokens: cached
            assert member
            assert member.grants
            assert member.grants.allows("tenant.profile.delete") == held
            crewed.application.inner.registry.quarantine.put("crews", "a test says so")


@pytest.mark.parametrize(
    "wrong", [["user:1"], ["role:1"], ["org"], ["crew"], [":x"], [7], "crew:x", ["crew:" + "x" * 96]]
)
async def test_principals_when_not_of_the_plugins_own_kind_then_none_of_them_count(
    crewed: TwoTenants, crews: ModuleType, monkeypatch: pytest.MonkeyPatch, wrong: object
) -> None:
    monkeypatch.setattr(crews, "asked", lambda hook, answer: wrong if hook == "contribute_principals" else answer)
    await change(crewed, crewed.acme_member)
    kinds = {each.partition(":")[0] for each in (await me(crewed.acme_member))["principals"]}
    assert kinds == {"user", "role", "org"}
    assert f"user:{crewed.acme_member.user_id}" in (await me(crewed.acme_member))["principals"]


async def test_may_when_somebody_else_is_asked_about_then_rights_and_vetoes_count(
    crewed: TwoTenants, crews: ModuleType
) -> None:
    owner, viewer = crewed.acme.user_id, crewed.acme_viewer.user_id
    assert owner
    assert viewer
    assert crewed.globex.user_id
    async with InTenant(crewed, crewed.acme):
        assert await may(owner, PERMISSION)
        assert not await may(viewer, PERMISSION)
        assert not await may(crewed.globex.user_id, PERMISSION)
        assert not await may(uuid7(), PERMISSION)
        crews.CREWS[viewer] = ["red"]
        crews.GRANTS["red"] = frozenset({PERMISSION})
        assert await may(viewer, PERMISSION)
        async with unit_of_work():
            assert await may(viewer, PERMISSION)
        crews.REFUSED.add(viewer)
        assert not await may(viewer, PERMISSION)
        with pytest.raises(ConfigurationError, match=r"crews\.shut\.read"):
            await may(viewer, "crews.shut.reed")


async def test_members_when_asked_by_principal_then_each_once_in_order_and_only_of_the_tenant(
    crewed: TwoTenants, crews: ModuleType
) -> None:
    member, viewer = crewed.acme_member.user_id, crewed.acme_viewer.user_id
    assert member
    assert viewer
    assert crewed.globex.user_id
    crews.CREWS |= {member: ["red"], crewed.globex.user_id: ["red"]}
    async with InTenant(crewed, crewed.acme):
        role = next(each for each in await principals_of(viewer) if each.startswith("role:"))

        async def ids(*principals: str) -> list[UUID]:
            after, found = None, []
            while piece := await members(after, 1, principals or None):
                found += [each.user_id for each in piece]
                after = found[-1]
            return found

        assert len(await ids()) == len(await ids("org")) == 4
        assert await ids("crew:red") == [member]
        assert await ids("crew:red", role, f"user:{member}") == sorted([member, viewer])
        assert await ids("user:rubbish", "crew:none") == []
        assert set(await people([member, crewed.globex.user_id, uuid7()])) == {member}
        names = await principal_names(["org", "crew:red", f"user:{member}", role, f"user:{uuid7()}"])
        assert set(names) == {"org", "crew:red", f"user:{member}", role}
        assert names["crew:red"] == "Red"
        crews.BROKEN.add("resolve_principals")
        with pytest.raises(RuntimeError, match="crews"):
            await members(principals=["crew:red"])


async def test_rights_when_in_another_tenant_or_a_job_then_nothing_or_everything(crewed: TwoTenants) -> None:
    async with InTenant(crewed, crewed.acme):
        assert level([]) == "manage"
        refuse_beyond_own(["tenant.roles.create"], all_permission=True)
    # An operator who looks into another organisation takes nothing along.
    async with InTenant(crewed, crewed.acme):
        person = replace(execution_context(), grants=Grants(frozenset({"a.b.c"})), principals=frozenset({"org"}))
        assert crewed.globex.tenant_id
        other = await crewed.application.inner.callbacks.snapshot_of(crewed.globex.tenant_id)
        with use_context(person), in_tenant(other):
            assert (grants().permissions, principals()) == (frozenset(), frozenset())
            assert level([("org", "read")]) == ""
            with pytest.raises(PermissionDenied):
                refuse_beyond_own(["a.b.c"])


async def test_invite_when_a_plugin_invites_then_in_the_actors_name_and_never_beyond_their_rights(
    crewed: TwoTenants, crews: ModuleType, heard_by_crews: list[Event]
) -> None:
    admin, newcomer = crewed.acme_admin, crewed.globex_member
    roles = {role["name"]: role["id"] for role in await crewed.acme.ask("GET", "/tenant/roles")}
    body = {"address": "Member@Globex.example", "role_id": roles["viewer"]}
    await crewed.acme_viewer.ask("POST", "/crews/invitations", 403, json=body)
    await admin.ask("POST", "/crews/invitations", 403, json=body | {"role_id": roles["owner"]})
    await admin.ask("POST", "/crews/invitations", 422, json=body | {"role_id": str(uuid7())})
    made = await admin.ask("POST", "/crews/invitations", json=body)
    await newcomer.ask("POST", "/invitations/accept", json={"token": made["token"]})
    (joined,) = [event for event in heard_by_crews if isinstance(event, MemberJoined)]
    assert (joined.user_id, str(joined.invitation_id)) == (newcomer.user_id, made["id"])


async def test_key_when_its_makers_account_is_disabled_then_refused_at_the_next_request(
    crewed: TwoTenants, crews: ModuleType
) -> None:
    admin = crewed.acme_admin
    body = {"name": "robot", "permissions": ["projects.projects.read"]}
    key = (await admin.ask("POST", "/tenant/api-keys", 201, json=body))["key"]
    async with crewed.application.client(Authorization=f"Bearer {key}") as robot:
        await robot.ask("GET", "/projects")
        with crewed.application.inner.bound():
            await User.filter(id=admin.user_id).update(disabled_at=datetime.now(UTC))
        await robot.ask("GET", "/projects")  # nobody was told yet
        await change(crewed, admin)
        await robot.ask("GET", "/projects", 401)
