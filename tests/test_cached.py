"""Computed values as plugins keep them: each tenant's and plugin's own, and no more than the actor may see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from host.cached import cached, drop_tags
from host.execution_context import ExecutionContext, as_plugin, execution_context, use_context
from host.services import unit_of_work
from host.testing import Client, TestApplication, TwoTenants
from tenants.access import Grants


@pytest.fixture
async def bound(two_tenants: TwoTenants) -> AsyncIterator[TwoTenants]:
    """The application bound."""
    with two_tenants.application.inner.bound():
        yield two_tenants


async def context_of(client: Client) -> ExecutionContext:
    assert client.tenant_id
    return replace(execution_context(), tenant=await snapshot(client.tenant_id))


async def snapshot(tenant_id: UUID):
    from host.services import services

    return await services().snapshots.tenant(tenant_id, None)


async def made_anew(key: str = "k", **options: object) -> bool:
    """Whether the value was computed now."""
    mark = str(uuid4())

    async def make() -> str:
        return mark

    return await cached(key, make, ttl=60, **options) == mark  # type: ignore[arg-type]


async def test_value_when_of_another_tenant_or_plugin_then_never_seen(bound: TwoTenants) -> None:
    for client in (bound.acme, bound.globex):
        with use_context(await context_of(client)):
            assert await made_anew()
            assert not await made_anew()
            with as_plugin("mail"):
                assert await made_anew()


async def test_value_when_asked_with_other_rights_then_computed_for_them_unless_it_is_everyones(
    bound: TwoTenants,
) -> None:
    here = await context_of(bound.acme)
    readers = [
        replace(here, grants=Grants(frozenset({"a.b.c"})), principals=frozenset({"org"})),
        replace(here, grants=Grants(frozenset({"a.b.c", "a.b.d"})), principals=frozenset({"org"})),
        replace(here, grants=Grants(frozenset(), all_permission=True), principals=frozenset({"org"})),
        replace(here, grants=Grants(frozenset({"a.b.c"})), principals=frozenset({"org", "team:1"})),
    ]
    for reader in (*readers, here):
        with use_context(reader):
            assert await made_anew()
            assert not await made_anew()
    for number, reader in enumerate(readers):
        with use_context(reader):
            assert await made_anew("all", everyone=True) == (number == 0)


async def test_tag_when_dropped_then_after_the_commit_only_and_not_if_undone(bound: TwoTenants) -> None:
    with use_context(await context_of(bound.acme)):
        assert await made_anew(tags=["notes"])
        with pytest.raises(RuntimeError, match="undone"):
            async with unit_of_work():
                await drop_tags("notes")
                raise RuntimeError("undone")
        assert not await made_anew(tags=["notes"])
        async with unit_of_work():
            await drop_tags("notes")
            assert await made_anew(tags=["notes"])  # computed here, and not kept: it may be undone
        assert await made_anew(tags=["notes"])
        await drop_tags("others")
        assert not await made_anew(tags=["notes"])
    with use_context(await context_of(bound.globex)):
        assert await made_anew(tags=["notes"])
        with use_context(await context_of(bound.acme)):
            await drop_tags("notes")
        assert not await made_anew(tags=["notes"])


async def test_answer_when_public_and_cacheable_then_says_so_and_no_other_does(application: TestApplication) -> None:
    async with application.client() as anybody:
        assert (await anybody.get("/api/v1/version")).headers["cache-control"] == "public, max-age=60"
        assert (await anybody.get("/api/v1/health")).headers["cache-control"] == "no-store"
        assert (await anybody.get("/api/v1/nothing")).headers["cache-control"] == "no-store"
