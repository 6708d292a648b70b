"""A tenant's use: gathered by every process, taken as a batch, kept until it is settled."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from host.cache.window import forget_tenant
from host.cache.wire import Wire
from host.contracts import DURATIONS
from host.instruments import Meter
from host.metering.metering import Metering
from host.metering.use import taken

ACME, GLOBEX = uuid4(), uuid4()


async def serve(wire: Wire, tenant: UUID, *statuses: int) -> None:
    here = Metering(wire, Meter(), {})
    for status in statuses:
        here.meter.served(tenant, "acme", status, 0.02)
    assert await here.flush()


async def test_use_when_taken_then_holds_what_every_process_served_and_begins_again(wire: Wire) -> None:
    await serve(wire, ACME, 200, 201, 404)
    await serve(wire, ACME, 304, 500, 503)
    await serve(wire, GLOBEX, 200)
    async with taken(wire, ACME) as first:
        [day] = first.days
    assert day.day == datetime.now(UTC).date()
    assert (day.succeeded, day.refused, day.failed, day.seconds) == (3, 1, 2, pytest.approx(0.12))
    assert day.counts == tuple(6 if bound == 0.025 else 0 for bound in (*DURATIONS, None))
    async with taken(wire, ACME) as second:
        assert second.days == ()
    async with taken(wire, GLOBEX) as theirs:
        assert theirs.days[0].succeeded == 1


async def test_use_when_its_taker_fails_then_the_same_batch_comes_again_and_the_new_waits(wire: Wire) -> None:
    await serve(wire, ACME, 200)
    with pytest.raises(RuntimeError):
        async with taken(wire, ACME) as lost:
            raise RuntimeError("killed")
    await serve(wire, ACME, 200, 200)
    async with taken(wire, ACME) as again:
        assert again == lost
    async with taken(wire, ACME) as rest:
        assert (rest.days[0].succeeded, rest.batch == lost.batch) == (2, False)


async def test_use_when_two_take_at_once_then_the_slower_one_settles_nothing_of_the_next(wire: Wire) -> None:
    await serve(wire, ACME, 200)
    async with taken(wire, ACME) as slow:
        async with taken(wire, ACME) as quick:
            assert quick == slow
        await serve(wire, ACME, 404)
        with pytest.raises(RuntimeError):
            async with taken(wire, ACME):
                raise RuntimeError("killed")
    async with taken(wire, ACME) as rest:
        assert rest.days[0].refused == 1


async def test_use_when_the_tenant_is_purged_then_is_gone(wire: Wire) -> None:
    await serve(wire, ACME, 200)
    assert await forget_tenant(wire, ACME) == 1
    async with taken(wire, ACME) as nothing:
        assert nothing.days == ()
