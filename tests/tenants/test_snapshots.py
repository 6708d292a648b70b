"""Snapshots of tenants and members: what is read, and for how long it is cached."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from tenants.context import bind
from tenants.lifecycle import RoleSeed, create
from tenants.models import Activation, ActivationState, Membership, Role, Tenant, TenantSetting, TenantStatus, User
from tenants.snapshots import Snapshots

ROLES = (RoleSeed("owner", all_permission=True), RoleSeed("viewer", permissions=("a.b.c",)))


@pytest.fixture
async def owner(database) -> User:
    return await User.create(email="o@example.com", name="Olga", is_operator=True)


@pytest.fixture
async def tenant(owner) -> Tenant:
    tenant = await create("Acme", "free", ROLES, owner=owner)
    with bind(tenant.id):
        await Activation.create(plugin="mail", state=ActivationState.OFF, settings={"from": "x"})
        await Activation.create(plugin="sms", settings={"to": "y"})
        await TenantSetting.create(key="limit:mail.sends", value={"value": "7/hour"})
        await TenantSetting.create(key="other", value={"value": 1})
    other = await create("Globex", "free", ROLES, owner=owner)
    with bind(other.id):
        await Activation.create(plugin="mail", state=ActivationState.ON)
    return tenant


async def test_tenant_facts_hold_switches_settings_and_limits(tenant):
    facts = await Snapshots().tenant(tenant.id, None)
    assert (facts.slug, facts.plan, facts.status) == ("acme", "free", TenantStatus.ACTIVE)
    assert facts.switches == {"mail": ActivationState.OFF}
    assert facts.plugin_settings == {"mail": {"from": "x"}, "sms": {"to": "y"}}
    assert facts.limits == {"mail.sends": "7/hour"}


async def test_tenant_facts_when_there_is_no_tenant_are_none(database):
    assert await Snapshots().tenant(uuid7(), None) is None


async def test_member_facts_hold_role_and_grants(tenant, owner):
    facts = await Snapshots().member(tenant.id, owner.id, None, None)
    assert (facts.user_id, facts.email, facts.role_name, facts.is_operator) == (owner.id, owner.email, "owner", True)
    assert facts.grants.all_permission
    viewer = await User.create(email="v@example.com", name="Vera")
    with bind(tenant.id):
        await Membership.create(user=viewer, role=await Role.get(name="viewer"))
    facts = await Snapshots().member(tenant.id, viewer.id, None, None)
    assert facts.grants.permissions == {"a.b.c"}
    assert not facts.grants.all_permission


async def test_member_facts_when_no_member_asks_hold_no_grants(tenant):
    anonymous = await User.create(email="s@example.com", name="Sven", disabled_at=datetime.now(UTC))
    facts = await Snapshots().member(tenant.id, anonymous.id, None, None)
    assert facts.grants is None
    assert facts.disabled
    assert facts == await Snapshots().person(anonymous.id, None)
    assert await Snapshots().member(tenant.id, uuid7(), None, None) is None


async def test_facts_when_the_version_stays_are_kept(tenant, owner, statements):
    facts = Snapshots()
    for _ in range(3):
        await facts.tenant(tenant.id, b"1")
        await facts.person(owner.id, b"1")
        await facts.member(tenant.id, owner.id, b"1", b"1")
    assert len(statements) == 3 + 1 + 1


async def test_facts_when_a_version_changes_are_read_again(tenant, owner, statements):
    facts = Snapshots()
    versions = [(b"1", b"1"), (b"1", b"1"), (b"2", b"1"), (b"2", b"2"), (b"2", b"2")]
    for tenant_version, user_version in versions:
        await facts.member(tenant.id, owner.id, tenant_version, user_version)
    assert len(statements) == 3


async def test_facts_when_no_version_is_known_are_read_each_time(tenant, owner, statements):
    facts = Snapshots()
    for tenant_version, user_version in ((None, b"1"), (None, b"1"), (b"1", None)):
        await facts.member(tenant.id, owner.id, tenant_version, user_version)
    for _ in range(2):
        await facts.person(owner.id, None)
    assert len(statements) == 3 + 2


async def test_facts_when_old_or_forgotten_are_read_again(owner, statements):
    clock = [0.0]
    facts = Snapshots(now=lambda: clock[0])
    await facts.person(owner.id, b"1")
    clock[0] = 299.0
    await facts.person(owner.id, b"1")
    assert len(statements) == 1
    clock[0] = 301.0
    await facts.person(owner.id, b"1")
    facts.forget_all()
    await facts.person(owner.id, b"1")
    assert len(statements) == 3


async def test_facts_when_too_many_drop_the_oldest(owner, monkeypatch, statements):
    monkeypatch.setattr("tenants.snapshots._KEEP", 1)
    other = await User.create(email="p@example.com", name="Pia")
    facts = Snapshots()
    statements.clear()
    for user in (owner, other, owner):
        await facts.person(user.id, b"1")
    assert len(statements) == 3
