"""The binding: nested, per task, never "all" by default."""

from __future__ import annotations

import asyncio
import logging

import pytest
from uuid_utils.compat import uuid7

from tenants.context import TenantMissing, bind, cross_tenant, current, current_or_none, is_across, scope


def test_current_when_nothing_is_bound_raises():
    for ask in (scope, current):
        with pytest.raises(TenantMissing):
            ask()
    assert current_or_none() is None


def test_bind_when_nested_gives_the_earlier_tenant_back():
    outer, inner = uuid7(), uuid7()
    with bind(outer):
        with bind(inner):
            assert current() == inner
        with pytest.raises(TenantMissing), bind(None):
            current()
        assert current() == outer


def test_bind_when_the_block_raises_gives_the_earlier_tenant_back():
    with pytest.raises(ZeroDivisionError), bind(uuid7()):
        raise ZeroDivisionError
    assert current_or_none() is None


def test_across_when_in_force_is_no_single_tenant(caplog):
    with caplog.at_level(logging.INFO, "tenants.across"), cross_tenant("nightly count"):
        assert is_across()
        with pytest.raises(TenantMissing):
            current()
    assert "nightly count" in caplog.text
    assert not is_across()


def test_across_when_no_reason_is_given_raises():
    with pytest.raises(ValueError, match="reason"), cross_tenant("  "):
        pass


async def test_bind_when_many_tasks_run_at_once_stays_in_its_task():
    async def work() -> bool:
        tenant_id = uuid7()
        with bind(tenant_id):
            for _ in range(5):
                await asyncio.sleep(0)
                if current() != tenant_id:
                    return False
        return current_or_none() is None

    assert all(await asyncio.gather(*(work() for _ in range(50))))


async def test_bind_when_work_moves_to_a_thread_is_kept_by_to_thread_and_dropped_by_an_executor():
    tenant_id = uuid7()
    with bind(tenant_id):
        assert await asyncio.to_thread(current_or_none) == tenant_id
        assert await asyncio.get_running_loop().run_in_executor(None, current_or_none) is None  # closed, not open
