"""The rules of use by day: kept exactly once, bounded, and estimated as Prometheus would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from host.instruments import Meter
from host.metering.metering import Metering
from host.testing import Neighbours
from plugins.metrics import service
from plugins.metrics.models import DailyUse
from plugins.metrics.service import KEPT_DAYS, quantile, roll_up
from tenants.context import bind

TODAY = datetime.now(UTC).date


async def serve(neighbours: Neighbours, number: int) -> None:
    """So many requests, answered by another process."""
    other = Metering(neighbours.house.inner.services.wire, Meter(), {})
    for _ in range(number):
        other.meter.served(neighbours.acme.tenant_id, "acme", 200, 0.02)
    assert await other.flush()


async def kept(neighbours: Neighbours) -> list[Any]:
    with neighbours.house.inner.bound(), bind(neighbours.acme.tenant_id):
        return await DailyUse.all().order_by("day")


async def rolled_up(neighbours: Neighbours) -> None:
    with neighbours.house.inner.bound(), bind(neighbours.acme.tenant_id):
        await roll_up()


async def test_roll_up_when_many_do_it_at_once_then_everything_is_kept_once(neighbours: Neighbours) -> None:
    await serve(neighbours, 5)
    await asyncio.gather(*(rolled_up(neighbours) for _ in range(8)))
    await serve(neighbours, 7)
    await asyncio.gather(*(rolled_up(neighbours) for _ in range(8)))
    [row] = await kept(neighbours)
    assert (row.succeeded, sum(row.counts), row.seconds) == (12, 12, pytest.approx(0.24))


async def test_roll_up_when_it_dies_after_the_commit_then_the_next_one_adds_nothing_twice(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve(neighbours, 5)

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
        await rolled_up(neighbours)
    monkeypatch.undo()
    assert [row.succeeded for row in await kept(neighbours)] == [5]
    await serve(neighbours, 2)
    await rolled_up(neighbours)
    await rolled_up(neighbours)
    assert [row.succeeded for row in await kept(neighbours)] == [7]


async def test_roll_up_when_days_are_long_past_then_they_are_forgotten(neighbours: Neighbours) -> None:
    with neighbours.house.inner.bound(), bind(neighbours.acme.tenant_id):
        for back in (KEPT_DAYS + 1, KEPT_DAYS - 1):
            await DailyUse.create(day=TODAY() - timedelta(days=back))
    await rolled_up(neighbours)
    assert [(TODAY() - row.day).days for row in await kept(neighbours)] == [KEPT_DAYS - 1, 0]


async def test_roll_up_when_the_schedule_runs_it_then_use_is_kept_in_every_tenant(neighbours: Neighbours) -> None:
    await serve(neighbours, 3)
    house = neighbours.house.inner
    with house.bound(), bind(None):
        await house.reconciler.fan_out()
    await neighbours.house.run_jobs()
    assert [row.succeeded for row in await kept(neighbours)] == [3]


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
