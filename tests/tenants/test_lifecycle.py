"""A tenant's life from its first role to its last row."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tortoise.exceptions import IntegrityError
from uuid_utils.compat import uuid7

from tenants import lifecycle
from tenants.context import bind, cross_tenant
from tenants.lifecycle import RoleSeed, SlugInvalid, SlugTaken, StatusConflict, create
from tenants.models import Activation, Domain, Invitation, Membership, Role, Tenant, TenantSetting, TenantStatus, User
from tests.tenants.sample_models import Badge, Note, Project, Task

ROLES = (RoleSeed("member", "Member", ("b.b.b", "a.a.a")), RoleSeed("owner", "Owner", all_permission=True))
MODELS = (Project, Role, Task, Note, Membership, Invitation, Activation, TenantSetting)


async def test_create_makes_roles_and_the_owners_membership(database):
    owner = await User.create(email="o@example.com", name="Olga")
    tenant = await create("Ärger & Söhne GmbH", "free", ROLES, owner=owner)
    assert tenant.slug == "arger-sohne-gmbh"
    with bind(tenant.id):
        assert await Role.all().order_by("name").values_list("name", "permissions", "built_in") == [
            ("member", ["a.a.a", "b.b.b"], True),
            ("owner", [], True),
        ]
        place = await Membership.get(user_id=owner.id).select_related("role")
    assert place.role.name == "owner"


async def test_create_when_the_name_is_taken_counts_up(database):
    slugs = [(await create("Acme", "free", ROLES)).slug for _ in range(3)]
    assert slugs == ["acme", "acme-2", "acme-3"]
    assert (await create("Admin", "free", ROLES, reserved={"admin"})).slug == "admin-2"
    assert (await create("猫", "free", ROLES)).slug == "mao"


def test_slugs_end_with_one_that_is_free():
    tenant_id = uuid7()
    slugs = lifecycle.slugs_for("x" * 200, (), tenant_id)
    assert slugs[-1].endswith(tenant_id.hex)
    for slug in slugs:
        lifecycle.check_slug(slug)


async def test_create_when_the_slug_cannot_be_had_raises(database):
    await create("Acme", "free", ROLES, slug="acme")
    with pytest.raises(SlugTaken, match="acme"):
        await create("Other", "free", ROLES, slug="acme")
    for slug in ("Acme", "-x", "admin"):
        with pytest.raises(SlugInvalid):
            await create("Other", "free", ROLES, slug=slug, reserved={"admin"})
    assert await Tenant.all().count() == 1


async def test_create_when_something_fails_leaves_nothing_behind(database):
    with pytest.raises(IntegrityError):
        await create("Acme", "free", (*ROLES, RoleSeed("member")))
    assert not await Tenant.exists()
    with cross_tenant("test"):
        assert not await Role.exists()
    with pytest.raises(ValueError, match="all_permission"):
        await create("Acme", "free", ROLES[:1], owner=User(email="x@example.com", name="X"))


async def test_create_when_two_want_the_same_name_at_once_gives_both_a_slug(database):
    made = await asyncio.gather(*(create("Acme", "free", ROLES) for _ in range(4)))
    assert sorted(tenant.slug for tenant in made) == ["acme", "acme-2", "acme-3", "acme-4"]


async def test_status_moves_only_along_the_allowed_steps(database):
    tenant = await create("Acme", "free", ROLES)
    await lifecycle.suspend(tenant, "unpaid")
    assert (tenant.status, tenant.status_reason, tenant.version) == (TenantStatus.SUSPENDED, "unpaid", 2)
    for refused in (lifecycle.suspend(tenant, "again"), lifecycle.restore(tenant), lifecycle.purge(tenant.id, MODELS)):
        with pytest.raises(StatusConflict):
            await refused
    await lifecycle.resume(tenant)
    assert (tenant.status, tenant.status_reason) == (TenantStatus.ACTIVE, "")
    with pytest.raises(StatusConflict):
        await lifecycle.resume(tenant)
    await lifecycle.delete(tenant, timedelta(days=30))
    with pytest.raises(StatusConflict):
        await lifecycle.delete(tenant, timedelta(days=30))
    await lifecycle.restore(tenant)
    assert (tenant.status, tenant.delete_after) == (TenantStatus.ACTIVE, None)


async def test_due_when_the_grace_has_passed_lists_the_tenant(database):
    tenant = await create("Acme", "free", ROLES)
    await create("Other", "free", ROLES)
    await lifecycle.delete(tenant, timedelta(days=30))
    assert await lifecycle.due(datetime.now(UTC)) == []
    assert await lifecycle.due(datetime.now(UTC) + timedelta(days=31)) == [tenant]


async def test_purge_removes_every_row_of_the_tenant_and_no_other(world):
    await Badge.all().delete()
    user = await User.create(email="o@example.com", name="Olga")
    tenants = {
        tenant_id: await create("T", "free", ROLES, owner=user, tenant_id=tenant_id)
        for tenant_id in (world.mine, world.theirs)
    }
    await Domain.create(tenant=tenants[world.mine], hostname="app.acme.test")
    await lifecycle.delete(tenants[world.mine], timedelta(0))
    removed = await lifecycle.purge(world.mine, MODELS)
    assert removed["sample_tasks"] == 4
    assert removed["domains"] == removed["tenants"] == 1
    assert await lifecycle.purge(world.mine, MODELS) == {}
    with bind(world.mine):
        assert [await model.all().count() for model in MODELS] == [0] * len(MODELS)
    with bind(world.theirs):
        assert [await model.all().count() for model in MODELS] == [3, 2, 6, 3, 1, 0, 0, 0]
    assert await Tenant.all().values_list("id", flat=True) == [world.theirs]
    assert await User.all().count() == 1


async def test_models_are_ordered_children_first(database):
    ordered = lifecycle.children_first(MODELS)
    assert sorted(map(repr, ordered)) == sorted(map(repr, MODELS))
    for child, parent in ((Task, Project), (Note, Task), (Membership, Role), (Invitation, Role)):
        assert ordered.index(child) < ordered.index(parent)
