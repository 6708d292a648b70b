"""The house's sums: several processes on one Redis, a Redis that goes away and comes back, and what is bounded."""

from __future__ import annotations

from uuid import uuid4

import pytest

from host.cache.embedded import EmbeddedRedis
from host.cache.wire import Wire
from host.contracts import Measured, Metric
from host.errors import Unavailable
from host.instruments import REST, Meter
from host.measured import METRICS
from host.metering import sums
from host.metering.metering import TENANT_REQUESTS, Metering

SENT = Metric("tenantry_letters_sent_total", "counter", "Letters sent", ("status",), most=5)
PLAIN = Metric("tenantry_letters_total", "counter", "Letters")
TIME = Metric("tenantry_letters_seconds", "histogram", "Time of a letter", ("kind",), buckets=(0.1, 1.0))
HOST = next(each for each in METRICS if each.name == TENANT_REQUESTS)


async def _three() -> list[tuple[tuple[str, ...], float]]:
    return [((), 3)]


async def _broken() -> list[tuple[tuple[str, ...], float]]:
    raise RuntimeError("the scales are out of order")


OPEN = Metric("tenantry_letters_open", "gauge", "Letters open", read=_three, each_process=True)
KEPT = Metric("tenantry_letters_kept", "gauge", "Letters kept", read=_three)
LOST = Metric("tenantry_letters_lost", "gauge", "Letters lost", read=_broken)
EVERYTHING = (SENT, PLAIN, TIME, OPEN, KEPT, LOST, HOST)


def process(wire: Wire) -> Metering:
    return Metering(wire, Meter(EVERYTHING), {})


def series(found: list[Measured], metric: Metric) -> dict[tuple[str, ...], float]:
    [one] = [each for each in found if each.metric is metric]
    return {each.labels: each.value for each in one.series}


async def test_sums_when_several_processes_measure_then_any_of_them_tells_all_of_it(wire: Wire) -> None:
    first, second = process(wire), process(wire)
    first.meter.count(SENT.name, 2, {"status": "sent"})
    second.meter.count(SENT.name, 3, {"status": "sent"})
    second.meter.count(PLAIN.name, 0.5, {})
    first.meter.observe(TIME.name, 0.05, {"kind": "note"})
    second.meter.observe(TIME.name, 5, {"kind": "note"})
    assert await second.flush()
    found = await first.measured()
    assert series(found, SENT) == {("sent",): 5}
    assert series(found, PLAIN) == {(): 0.5}
    [time] = [each.series for each in found if each.metric is TIME]
    assert [(each.labels, each.value, each.counts) for each in time] == [(("note",), pytest.approx(5.05), (1, 0, 1))]
    assert await second.measured() == found


async def test_gauges_when_read_then_those_of_each_process_are_added_and_a_broken_one_is_left_out(wire: Wire) -> None:
    first, second = process(wire), process(wire)
    await second.flush()
    found = await first.measured()
    assert (series(found, OPEN), series(found, KEPT), series(found, LOST)) == ({(): 6}, {(): 3}, {})
    await second.stop()
    assert series(await first.measured(), OPEN) == {(): 3}


async def test_gauges_when_a_process_was_killed_then_are_gone_after_a_while(wire: Wire) -> None:
    killed, alive = process(wire), process(wire)
    await killed.flush()
    long_ago = int((await wire.call("TIME"))[0]) - sums.SILENT - 1
    [name] = await wire.call("ZRANGE", "m:seen", 0, -1)
    await wire.call("ZADD", "m:seen", long_ago, name)
    assert series(await alive.measured(), OPEN) == {(): 3}
    assert await wire.call("HLEN", "m:levels") == 1


async def test_flush_when_redis_is_away_then_everything_arrives_once_it_is_back(
    server: EmbeddedRedis, wire: Wire
) -> None:
    here = process(wire)
    here.meter.count(PLAIN.name, 1, {})
    assert await here.flush()
    await server.stop()
    for _ in range(3):
        here.meter.count(PLAIN.name, 1, {})
        assert not await here.flush()
    with pytest.raises(Unavailable):
        await here.measured()
    await server.start()
    patient = Wire(server.url, timeout=1.0)
    here._wire = patient
    assert series(await here.measured(), PLAIN) == {(): 4}
    await patient.close()


async def test_flush_when_its_answer_was_lost_then_the_batch_is_not_added_twice(wire: Wire) -> None:
    here = process(wire)

    class Deaf(Wire):
        """Does what it is told, and loses the answer."""

        async def call(self, *command):
            await wire.call(*command)
            raise Unavailable("the answer was lost")

    here._wire = Deaf("unix:///nowhere")
    here.meter.count(PLAIN.name, 1, {})
    here.meter.observe(TIME.name, 1, {"kind": "note"})
    assert not await here.flush()
    assert not await here.flush()
    here._wire = wire
    here.meter.count(PLAIN.name, 1, {})
    found = await here.measured()
    assert (series(found, PLAIN), series(found, TIME)) == ({(): 2}, {("note",): 1})


async def test_counters_when_redis_was_emptied_then_begin_again(wire: Wire) -> None:
    here = process(wire)
    here.meter.count(PLAIN.name, 7, {})
    await here.flush()
    await wire.call("FLUSHALL")
    here.meter.count(PLAIN.name, 1, {})
    assert series(await here.measured(), PLAIN) == {(): 1}


async def test_series_when_processes_make_up_more_than_allowed_then_the_rest_is_one_in_the_whole_house(
    wire: Wire,
) -> None:
    for number in range(4):
        each = process(wire)
        for other in range(4):
            each.meter.count(SENT.name, 1, {"status": f"made up {number} {other}"})
        await each.flush()
    found = series(await process(wire).measured(), SENT)
    assert len(found) <= SENT.most + 1
    assert sum(found.values()) == 16
    assert found[(REST,)] == 11


async def test_labels_when_they_hold_what_no_label_should_then_are_made_legible(wire: Wire) -> None:
    here = process(wire)
    here.meter.count(SENT.name, 1, {"status": "a\x1fb\x1ec\nd"})
    here.meter.count(SENT.name, 1, {"status": "x" * 10_000})
    here.meter.count(SENT.name, 1, {"status": 'ü"\\'})
    assert set(series(await here.measured(), SENT)) == {("abcd",), ("x" * 120,), ('ü"\\',)}


async def test_tenants_when_there_are_many_then_the_most_active_have_series_and_the_rest_is_other(wire: Wire) -> None:
    here = process(wire)
    tenants = [(uuid4(), f"tenant-{number:03}") for number in range(60)]
    for rank, (tenant_id, slug) in enumerate(tenants):
        for _ in range(rank + 1):
            here.meter.served(tenant_id, slug, 200, 0.01)
    found = series(await here.measured(), HOST)
    assert {tenant for tenant, _ in found} == {REST, *(slug for _, slug in tenants[-sums.TOP :])}
    assert sum(found.values()) == sum(range(61))


async def test_tenants_when_others_become_more_active_then_they_take_the_series(wire: Wire) -> None:
    here = process(wire)
    for number in range(sums.TOP):
        for _ in range(5):
            here.meter.served(uuid4(), f"old-{number}", 500, 0.01)
    before = series(await here.measured(), HOST)
    assert len({tenant for tenant, _ in before}) == sums.TOP
    for _ in range(500):
        here.meter.served(uuid4(), "risen", 404, 0.01)
    await wire.call("DEL", "m:top:fresh")  # as after a minute
    after = series(await here.measured(), HOST)
    assert after[("risen", "refused")] == 500
    assert len({tenant for tenant, _ in after if tenant != REST}) == sums.TOP
    assert await wire.call("HLEN", sums.key_of(HOST)) == len(after), "what is not shown any more makes room"


async def test_keys_when_a_metric_is_declared_otherwise_then_releases_do_not_mix() -> None:
    other = Metric(SENT.name, "counter", "Letters sent", ("kind",))
    finer = Metric(TIME.name, "histogram", "Time of a letter", ("kind",), buckets=(0.1, 0.5, 1.0))
    assert sums.key_of(other) != sums.key_of(SENT)
    assert sums.key_of(finer) != sums.key_of(TIME)
