"""Locks: never lost in silence, and one tenant's rules are checked by one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from tortoise.exceptions import TransactionManagementError

from host.data.database import Database
from tenants.context import TenantMissing, bind
from tenants.locking import lock_tenant
from tenants.models import Membership, Role, Tenant, User
from tenants.scoped_queries import LockLost

LOSING: dict[str, Callable[[Any], Any]] = {
    "values": lambda locked: locked.values("id"),
    "values_list": lambda locked: locked.values_list("id", flat=True),
    "count": lambda locked: locked.count(),
    "exists": lambda locked: locked.exists(),
    "union": lambda locked: locked.union(locked),
    "of one row": lambda locked: locked.first().values("id"),
    "filtered after": lambda locked: locked.filter(id=uuid4()).exists(),
}


@pytest.fixture
async def acme(database: Database) -> Tenant:
    return await Tenant.create(slug="acme", name="Acme", plan="free")


@pytest.mark.parametrize("way", LOSING)
async def test_lock_when_the_query_made_from_it_would_lose_it_then_refused_on_every_model(
    acme: Tenant, way: str
) -> None:
    with bind(acme.id):
        for model in (Membership, Role, Tenant, User):
            with pytest.raises(LockLost, match="lock_tenant"):
                LOSING[way](model.select_for_update())


async def test_lock_when_rows_themselves_are_asked_for_then_they_come(acme: Tenant, database: Database) -> None:
    with bind(acme.id):
        async with database.transaction():
            await Role.create(name="member")
            assert [row.name for row in await Role.select_for_update().filter(name="member").order_by("id")] == [
                "member"
            ]
            assert await Role.select_for_update(skip_locked=True).get_or_none(name="nobody") is None
            assert (await Tenant.select_for_update(no_key=True).get(id=acme.id)).slug == "acme"
        assert await Role.all().count() == 1


async def test_tenant_when_locked_outside_a_transaction_or_unknown_then_refused(
    acme: Tenant, database: Database
) -> None:
    with bind(acme.id), pytest.raises(TransactionManagementError):
        await lock_tenant()
    with bind(uuid4()), pytest.raises(TenantMissing):
        async with database.transaction():
            await lock_tenant()


async def test_tenant_when_locked_by_many_at_once_then_each_sees_what_the_others_wrote(
    acme: Tenant, database: Database
) -> None:
    async def at_most_three(number: int) -> None:
        async with database.transaction():
            await lock_tenant()
            if await Role.all().count() < 3:
                await asyncio.sleep(0)
                await Role.create(name=f"role-{number}")

    with bind(acme.id):
        await asyncio.gather(*(at_most_three(number) for number in range(20)))
        assert await Role.all().count() == 3
