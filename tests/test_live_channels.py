"""`live(name)` in an application: after the commit, in the bound tenant, for as long as the tenant is open."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

import pytest

from host.errors import ConfigurationError, Unavailable
from host.execution_context import in_tenant
from host.live_channels import live
from host.services import services, unit_of_work
from host.testing import TwoTenants
from tenants.context import TenantMissing


async def test_publish_when_in_a_unit_of_work_then_sent_after_its_commit_and_not_at_all_after_a_rollback(
    two_tenants: TwoTenants,
) -> None:
    application, tenant_id = two_tenants.application.inner, two_tenants.acme.tenant_id
    assert tenant_id is not None
    with application.bound(), in_tenant(await application.callbacks.snapshot_of(tenant_id)):
        async with asyncio.timeout(20), aclosing(live("host.jobs").follow("all")) as messages:
            await anext(messages)
            coming = asyncio.ensure_future(anext(messages))
            with suppress(ZeroDivisionError):
                async with unit_of_work():
                    await live("host.jobs").publish("all", "x", "rolled back")
                    raise ZeroDivisionError
            async with unit_of_work():
                async with unit_of_work():
                    await live("host.jobs").publish("all", "x", "committed")
                await asyncio.sleep(0.3)
                assert not coming.done()
            assert (await coming).data == "committed"


async def test_publish_when_redis_is_away_then_raised_but_after_a_commit_only_logged(
    two_tenants: TwoTenants, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    application, tenant_id = two_tenants.application.inner, two_tenants.acme.tenant_id
    assert tenant_id is not None
    with application.bound(), in_tenant(await application.callbacks.snapshot_of(tenant_id)):

        async def away(*arguments: object) -> None:
            raise Unavailable("Redis is away")

        monkeypatch.setattr(services().live, "publish", away, raising=True)
        with pytest.raises(Unavailable):
            await live("host.jobs").publish("all", "x")
        async with unit_of_work():
            await live("host.jobs").publish("all", "x")
    assert "after the commit" in caplog.text


async def test_live_when_named_wrongly_or_without_a_tenant_then_refused(two_tenants: TwoTenants) -> None:
    application, tenant_id = two_tenants.application.inner, two_tenants.acme.tenant_id
    assert tenant_id is not None
    with application.bound():
        with pytest.raises(TenantMissing):
            live("host.jobs")
        with in_tenant(await application.callbacks.snapshot_of(tenant_id)):
            with pytest.raises(ConfigurationError, match=r"host\.jobs"):
                live("host.jbos")
            with pytest.raises(ValueError):
                await anext(live("host.jobs").follow(""))
