"""A tenant's use: gathered by every process, taken as a batch, kept until it is settled."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from host.cache.client import RedisClient
from host.cache.namespace import forget_tenant
from host.contracts import DURATIONS
from host.instruments import Meter
from host.metrics.metering import Metering
from host.metrics.use import taken

ACME, GLOBEX = uuid4(), uuid4()


async def serve(redis_client: RedisClient, tenant: UUID, *statuses: int) -> None:
    here = Metering(redis_client, Meter(), {})
    for status in statuses:
        here.meter.served(tenant, "acme", status, 0.02)
    assert await here.flush()


async def test_use_when_taken_then_holds_what_every_process_served_and_begins_again(redis_client: RedisClient) -> None:
    await serve(redis_client, ACME, 200, 201, 404)
    await serve(redis_client, ACME, 304, 500, 503)
    await serve(redis_client, GLOBEX, 200)
    async with taken(redis_client, ACME) as first:
        [day] = first.days
    assert day.day == datetime.now(UTC).date()
    assert (day.succeeded, day.refused, day.failed, day.seconds) == (3, 1, 2, pytest.approx(0.12))
    assert day.counts == tuple(6 if bound == 0.025 else 0 for bound in (*DURATIONS, None))
    async with taken(redis_client, ACME) as second:
        assert second.days == ()
    async with taken(redis_client, GLOBEX) as theirs:
        assert theirs.days[0].succeeded == 1


async def test_use_when_its_taker_fails_then_the_same_batch_comes_again_and_the_new_waits(
    redis_client: RedisClient,
) -> None:
    await serve(redis_client, ACME, 200)
    with pytest.raises(RuntimeError):
        async with taken(redis_client, ACME) as lost:
            raise RuntimeError("killed")
    await serve(redis_client, ACME, 200, 200)
    async with taken(redis_client, ACME) as again:
        assert again == lost
    async with taken(redis_client, ACME) as rest:
        assert (rest.days[0].succeeded, rest.batch == lost.batch) == (2, False)


async def test_use_when_two_take_at_once_then_the_slower_one_settles_nothing_of_the_next(
    redis_client: RedisClient,
) -> None:
    await serve(redis_client, ACME, 200)
    async with taken(redis_client, ACME) as slow:
        async with taken(redis_client, ACME) as quick:
            assert quick == slow
        await serve(redis_client, ACME, 404)
        with pytest.raises(RuntimeError):
            async with taken(redis_client, ACME):
                raise RuntimeError("killed")
    async with taken(redis_client, ACME) as rest:
        assert rest.days[0].refused == 1


async def test_use_when_the_tenant_is_purged_then_is_gone(redis_client: RedisClient) -> None:
    await serve(redis_client, ACME, 200)
    assert await forget_tenant(redis_client, ACME) == 1
    async with taken(redis_client, ACME) as nothing:
        assert nothing.days == ()
