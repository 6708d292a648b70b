"""What a plan limits, as plugins ask for it: for each person, in money, reserved and settled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType

import pytest
from uuid_utils.compat import uuid7

from host.app_context import app_context, enter_app
from host.contracts import Actor, Limit
from host.errors import ConfigurationError, QuotaExceeded, RateLimited
from host.execution_context import acting, execution_context, in_tenant
from host.plan_limits import allow, give_back, limit_used, limit_value, reserve, set_used, settle, spend
from host.services import services, unit_of_work
from host.testing import TwoTenants

LIMITS = {
    limit.name: limit
    for limit in (
        Limit("ai.requests", "quota", "Requests of a person", default="2/day", per="person"),
        Limit("ai.cost", "quota", "Cost", default="0.02 USD/24 hours", parts=10_000),
        Limit("ai.rate", "rate", "Requests of a person", default="1/minute", per="person"),
    )
}


@pytest.fixture
async def in_acme(two_tenants: TwoTenants) -> AsyncIterator[TwoTenants]:
    """The tenant acme bound, in an application that declares these limits as well."""
    application = two_tenants.application.inner
    assert two_tenants.acme.tenant_id
    facts = await application.callbacks.snapshot_of(two_tenants.acme.tenant_id)
    with application.bound():
        wider = replace(services(), limits=MappingProxyType({**services().limits, **LIMITS}))
        with enter_app(replace(app_context(), services=wider)), in_tenant(facts):
            yield two_tenants


async def used(name: str) -> int | None:
    return await limit_used(name, (await limit_value(name))[0])


async def test_quota_when_each_person_has_one_then_nobody_uses_anothers(in_acme: TwoTenants) -> None:
    one, other = uuid7(), uuid7()
    async with unit_of_work():
        await spend("ai.requests", 2, person=one)
        with pytest.raises(QuotaExceeded):
            await spend("ai.requests", person=one)
        await spend("ai.requests", person=other)
        await give_back("ai.requests", person=one)
        await spend("ai.requests", person=one)
        with pytest.raises(ConfigurationError, match="person"):
            await spend("ai.requests")
    assert await used("ai.requests") is None
    with acting(replace(execution_context().origin, actor=Actor("user", other, user_id=other))):
        assert await used("ai.requests") == 1
        await allow("ai.rate")
        with pytest.raises(RateLimited):
            await allow("ai.rate")
        await allow("ai.rate", str(one))


async def test_quota_when_counted_in_parts_then_exact_to_the_part_and_shown_rounded_up(in_acme: TwoTenants) -> None:
    async with unit_of_work():
        reservation = await reserve("ai.cost", 15_000)  # 1.5 cents of 2
        with pytest.raises(QuotaExceeded):
            await reserve("ai.cost", 5_001)
        assert await settle(reservation, 1)
        assert await used("ai.cost") == 1
        await spend("ai.cost", 19_999)
        with pytest.raises(QuotaExceeded):
            await spend("ai.cost", 1)
        assert await set_used("ai.cost", 0) == -20_000
    assert await used("ai.cost") == 0


async def test_reservation_when_the_limit_counts_rows_then_refused(in_acme: TwoTenants) -> None:
    with pytest.raises(TypeError, match=r"projects\.projects"):
        await reserve("projects.projects", 1)


async def test_limit_when_misspelt_then_named_with_the_nearest(in_acme: TwoTenants) -> None:
    with pytest.raises(ConfigurationError, match=r"ai\.cots.*ai\.cost"):
        await spend("ai.cots")
