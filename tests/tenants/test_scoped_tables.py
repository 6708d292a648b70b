"""Relations and joins of tenants' tables."""

from __future__ import annotations

import pytest
from pypika_tortoise.queries import Table
from tortoise import fields
from tortoise.context import TortoiseContext
from uuid_utils.compat import uuid7

from tenants.context import TenantMissing, Unscoped, bind, cross_tenant
from tenants.scoped_tables import ScopedMeta, ScopedTable
from tenants.scoping import TenantModel
from tests.tenants.sample_models import Badge, Project, Task


class Loophole(TenantModel):
    """Gives the plain Badge a way back to tenants' rows."""

    badge = fields.ForeignKeyField("sample.Badge", related_name="holes")


async def test_relation_when_it_gives_a_plain_model_a_way_back_is_refused(monkeypatch):
    monkeypatch.setattr("tests.tenants.sample_models.__models__", [Loophole, Badge, Project, Task], raising=False)
    async with TortoiseContext() as context:
        try:
            with pytest.raises(Unscoped, match="related_name=False"):
                await context.init(
                    db_url="sqlite://:memory:",
                    modules={"tenants": ["tenants.models"], "sample": ["tests.tenants.sample_models"]},
                )
        finally:
            Badge._meta.fields_map.pop("holes", None)
            Badge._meta.backward_fk_fields.discard("holes")
            for key in [key for key in Badge._meta._filters if key.startswith("holes")]:
                del Badge._meta._filters[key]
            Badge._meta.finalise_fields()


def test_join_when_both_tables_are_tenants_compares_their_tenants():
    left, right = ScopedTable("tasks"), ScopedTable("projects")
    assert '"tenant_id"="tenant_id"' in str(left["project_id"] == right["id"])


def test_join_when_the_other_table_is_plain_names_the_bound_tenant():
    plain, scoped, tenant_id = Table("users"), ScopedTable("memberships"), uuid7()
    with pytest.raises(TenantMissing):
        plain["id"] == scoped["user_id"]  # noqa: B015
    with bind(tenant_id):
        for criterion in (plain["id"] == scoped["user_id"], scoped["user_id"] == plain["id"]):
            assert str(tenant_id) in str(criterion)
    with cross_tenant("test"):
        assert "tenant_id" not in str(plain["id"] == scoped["user_id"])


def test_comparison_with_a_value_stays_free_of_the_tenant():
    """Tortoise keeps such SQL for every later call, whoever is bound then."""
    with bind(uuid7()):
        assert "tenant_id" not in str(ScopedTable("tasks")["id"] == 5)


async def test_links_of_a_model_are_those_to_other_tenant_models(database):
    assert isinstance(Task._meta, ScopedMeta)
    assert {link.key: link.related for link in Task._meta.links()} == {"project_id": Project, "parent_id": Task}


async def test_cached_sql_when_another_tenant_comes_next_holds_no_tenant(world, statements):
    for tenant_id in (world.mine, world.theirs):
        with bind(tenant_id):
            row = await Project.create(name="fresh")
            row.rank = 3
            await row.save()
            await row.delete()
    assert not any(str(tenant_id) in text for tenant_id in (world.mine, world.theirs) for text in statements)
