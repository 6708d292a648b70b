"""The host's sums: several processes on one Redis, a Redis that goes away and comes back, and what is bounded."""

from __future__ import annotations

from uuid import uuid4

import pytest

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.contracts import Measured, Metric
from host.core_metrics import METRICS
from host.errors import Unavailable
from host.instruments import REST, Meter
from host.metrics import sums
from host.metrics.metering import TENANT_REQUESTS, Metering

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


def process(redis_client: RedisClient) -> Metering:
    return Metering(redis_client, Meter(EVERYTHING), {})


def series(found: list[Measured], metric: Metric) -> dict[tuple[str, ...], float]:
    [one] = [each for each in found if each.metric is metric]
    return {each.labels: each.value for each in one.series}


async def test_sums_when_several_processes_measure_then_any_of_them_tells_all_of_it(redis_client: RedisClient) -> None:
    first, second = process(redis_client), process(redis_client)
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


async def test_gauges_when_read_then_those_of_each_process_are_added_and_a_broken_one_is_left_out(
    redis_client: RedisClient,
) -> None:
    first, second = process(redis_client), process(redis_client)
    await second.flush()
    found = await first.measured()
    assert (series(found, OPEN), series(found, KEPT), series(found, LOST)) == ({(): 6}, {(): 3}, {})
    await second.stop()
    assert series(await first.measured(), OPEN) == {(): 3}


async def test_gauges_when_a_process_was_killed_then_are_gone_after_a_while(redis_client: RedisClient) -> None:
    killed, alive = process(redis_client), process(redis_client)
    await killed.flush()
    long_ago = int((await redis_client.call("TIME"))[0]) - sums.SILENT - 1
    [name] = await redis_client.call("ZRANGE", "m:seen", 0, -1)
    await redis_client.call("ZADD", "m:seen", long_ago, name)
    assert series(await alive.measured(), OPEN) == {(): 3}
    assert await redis_client.call("HLEN", "m:levels") == 1


async def test_flush_when_redis_is_away_then_everything_arrives_once_it_is_back(
    server: EmbeddedRedis, redis_client: RedisClient
) -> None:
    here = process(redis_client)
    here.meter.count(PLAIN.name, 1, {})
    assert await here.flush()
    await server.stop()
    for _ in range(3):
        here.meter.count(PLAIN.name, 1, {})
        assert not await here.flush()
    with pytest.raises(Unavailable):
        await here.measured()
    await server.start()
    patient = RedisClient(server.url, timeout=1.0)
    here._redis_client = patient
    assert series(await here.measured(), PLAIN) == {(): 4}
    await patient.close()


async def test_flush_when_its_answer_was_lost_then_the_batch_is_not_added_twice(redis_client: RedisClient) -> None:
    here = process(redis_client)

    class Deaf(RedisClient):
        """Does what it is told, and loses the answer."""

        async def call(self, *command):
            await redis_client.call(*command)
            raise Unavailable("the answer was lost")

    here._redis_client = Deaf("unix:///nowhere")
    here.meter.count(PLAIN.name, 1, {})
    here.meter.observe(TIME.name, 1, {"kind": "note"})
    assert not await here.flush()
    assert not await here.flush()
    here._redis_client = redis_client
    here.meter.count(PLAIN.name, 1, {})
    found = await here.measured()
    assert (series(found, PLAIN), series(found, TIME)) == ({(): 2}, {("note",): 1})


async def test_counters_when_redis_was_emptied_then_begin_again(redis_client: RedisClient) -> None:
    here = process(redis_client)
    here.meter.count(PLAIN.name, 7, {})
    await here.flush()
    await redis_client.call("FLUSHALL")
    here.meter.count(PLAIN.name, 1, {})
    assert series(await here.measured(), PLAIN) == {(): 1}


async def test_series_when_processes_make_up_more_than_allowed_then_the_rest_is_one_in_the_whole_deployment(
    redis_client: RedisClient,
) -> None:
    for number in range(4):
        each = process(redis_client)
        for other in range(4):
            each.meter.count(SENT.name, 1, {"status": f"made up {number} {other}"})
        await each.flush()
    found = series(await process(redis_client).measured(), SENT)
    assert len(found) <= SENT.most + 1
    assert sum(found.values()) == 16
    assert found[(REST,)] == 11


async def test_labels_when_they_hold_what_no_label_should_then_are_made_legible(redis_client: RedisClient) -> None:
    here = process(redis_client)
    here.meter.count(SENT.name, 1, {"status": "a\x1fb\x1ec\nd"})
    here.meter.count(SENT.name, 1, {"status": "x" * 10_000})
    here.meter.count(SENT.name, 1, {"status": 'ü"\\'})
    assert set(series(await here.measured(), SENT)) == {("abcd",), ("x" * 120,), ('ü"\\',)}


async def test_tenants_when_there_are_many_then_the_most_active_have_series_and_the_rest_is_other(
    redis_client: RedisClient,
) -> None:
    here = process(redis_client)
    tenants = [(uuid4(), f"tenant-{number:03}") for number in range(60)]
    for rank, (tenant_id, slug) in enumerate(tenants):
        for _ in range(rank + 1):
            here.meter.served(tenant_id, slug, 200, 0.01)
    found = series(await here.measured(), HOST)
    assert {tenant for tenant, _ in found} == {REST, *(slug for _, slug in tenants[-sums.TOP :])}
    assert sum(found.values()) == sum(range(61))


async def test_tenants_when_others_become_more_active_then_they_take_the_series(redis_client: RedisClient) -> None:
    here = process(redis_client)
    for number in range(sums.TOP):
        for _ in range(5):
            here.meter.served(uuid4(), f"old-{number}", 500, 0.01)
    before = series(await here.measured(), HOST)
    assert len({tenant for tenant, _ in before}) == sums.TOP
    for _ in range(500):
        here.meter.served(uuid4(), "risen", 404, 0.01)
    await redis_client.call("DEL", "m:top:fresh")  # as after a minute
    after = series(await here.measured(), HOST)
    assert after[("risen", "refused")] == 500
    assert len({tenant for tenant, _ in after if tenant != REST}) == sums.TOP
    assert await redis_client.call("HLEN", sums.key_of(HOST)) == len(after), "what is not shown any more makes room"


async def test_keys_when_a_metric_is_declared_otherwise_then_releases_do_not_mix() -> None:
    other = Metric(SENT.name, "counter", "Letters sent", ("kind",))
    finer = Metric(TIME.name, "histogram", "Time of a letter", ("kind",), buckets=(0.1, 0.5, 1.0))
    assert sums.key_of(other) != sums.key_of(SENT)
    assert sums.key_of(finer) != sums.key_of(TIME)
