"""The rules of use by day: kept exactly once, bounded, and estimated as Prometheus would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from host.instruments import Meter
from host.metrics.metering import Metering
from host.testing import TwoTenants
from plugins.metrics import service
from plugins.metrics.models import DailyUse
from plugins.metrics.service import KEPT_DAYS, quantile, roll_up
from tenants.context import bind

TODAY = datetime.now(UTC).date


async def serve(two_tenants: TwoTenants, number: int) -> None:
    """So many requests, answered by another process."""
    other = Metering(two_tenants.application.inner.services.redis_client, Meter(), {})
    for _ in range(number):
        other.meter.served(two_tenants.acme.tenant_id, "acme", 200, 0.02)
    assert await other.flush()


async def kept(two_tenants: TwoTenants) -> list[Any]:
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        return await DailyUse.all().order_by("day")


async def rolled_up(two_tenants: TwoTenants) -> None:
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        await roll_up()


async def test_roll_up_when_many_do_it_at_once_then_everything_is_kept_once(two_tenants: TwoTenants) -> None:
    await serve(two_tenants, 5)
    await asyncio.gather(*(rolled_up(two_tenants) for _ in range(8)))
    await serve(two_tenants, 7)
    await asyncio.gather(*(rolled_up(two_tenants) for _ in range(8)))
    [row] = await kept(two_tenants)
    assert (row.succeeded, sum(row.counts), row.seconds) == (12, 12, pytest.approx(0.24))


async def test_roll_up_when_it_dies_after_the_commit_then_the_next_one_adds_nothing_twice(
    two_tenants: TwoTenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve(two_tenants, 5)

    class Dies(Exception):
        pass

    taken_use = service.taken_use

    @asynccontextmanager
    async def dying() -> AsyncIterator[Any]:
        async with taken_use() as taken:
            yield taken
            raise Dies

    monkeypatch.setattr(service, "taken_use", dying)
    with pytest.raises(Dies):
        await rolled_up(two_tenants)
    monkeypatch.undo()
    assert [row.succeeded for row in await kept(two_tenants)] == [5]
    await serve(two_tenants, 2)
    await rolled_up(two_tenants)
    await rolled_up(two_tenants)
    assert [row.succeeded for row in await kept(two_tenants)] == [7]


async def test_roll_up_when_days_are_long_past_then_they_are_forgotten(two_tenants: TwoTenants) -> None:
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        for back in (KEPT_DAYS + 1, KEPT_DAYS - 1):
            await DailyUse.create(day=TODAY() - timedelta(days=back))
    await rolled_up(two_tenants)
    assert [(TODAY() - row.day).days for row in await kept(two_tenants)] == [KEPT_DAYS - 1, 0]


async def test_roll_up_when_the_schedule_runs_it_then_use_is_kept_in_every_tenant(two_tenants: TwoTenants) -> None:
    await serve(two_tenants, 3)
    application = two_tenants.application.inner
    with application.bound(), bind(None):
        await application.reconciler.fan_out()
    await two_tenants.application.run_jobs()
    assert [row.succeeded for row in await kept(two_tenants)] == [3]


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ([], 0.5, None),
        ([0] * 12, 0.95, None),
        ([4] + [0] * 11, 0.5, 0.0025),
        ([0, 10] + [0] * 10, 0.5, 0.0075),
        ([50, 0, 0, 50] + [0] * 8, 0.95, 0.0475),
        ([0] * 11 + [3], 0.5, 10.0),
        ([99] + [0] * 10 + [1], 1.0, 10.0),
    ],
)
def test_quantile_when_estimated_from_buckets_then_as_prometheus_does(
    counts: list[int], share: float, seconds: float | None
) -> None:
    assert quantile(counts, share) == (seconds if seconds is None else pytest.approx(seconds))
