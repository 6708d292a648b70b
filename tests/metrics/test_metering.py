"""Metering: this process's gauges, a Redis that goes away and comes back, and which tenants have series."""

from __future__ import annotations

from uuid import uuid4

import pytest

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.contracts import Metric
from host.core_metrics import METRICS
from host.errors import Unavailable
from host.instruments import REST, TENANT_REQUESTS, TOP, Meter
from host.metrics.metering import Metering
from host.metrics.use import taken

SENT = Metric("tenantry_letters_sent_total", "counter", "Letters sent", ("status",), most=5)
TIME = Metric("tenantry_letters_seconds", "histogram", "Time of a letter", ("kind",), buckets=(0.1, 1.0))
BY_TENANT = Metric("tenantry_letters_tenant_total", "counter", "Letters of each tenant", ("tenant",))
HOST = next(each for each in METRICS if each.name == TENANT_REQUESTS)
IN_DRAWERS = {"top": 2.0, "bottom": 1.0}


async def _drawers() -> list[tuple[tuple[str, ...], float]]:
    return [((drawer,), number) for drawer, number in IN_DRAWERS.items()]


async def _three() -> list[tuple[tuple[str, ...], float]]:
    return [((), 3)]


async def _crowd() -> list[tuple[tuple[str, ...], float]]:
    return [((f"box {number:02}",), number) for number in range(10)]


async def _broken() -> list[tuple[tuple[str, ...], float]]:
    raise RuntimeError("the scales are out of order")


OPEN = Metric("tenantry_letters_open", "gauge", "Letters open", ("drawer",), _drawers, each_process=True)
KEPT = Metric("tenantry_letters_kept", "gauge", "Letters kept", read=_three)
BOXES = Metric("tenantry_letters_boxes", "gauge", "Letters by box", ("box",), _crowd, most=3)
LOST = Metric("tenantry_letters_lost", "gauge", "Letters lost", read=_broken)
TORN = Metric("tenantry_letters_torn", "gauge", "Letters torn", read=_broken, each_process=True)
EVERYTHING = (SENT, TIME, BY_TENANT, HOST, OPEN, KEPT, BOXES, LOST, TORN)


def process(redis_client: RedisClient) -> Metering:
    return Metering(redis_client, Meter(EVERYTHING), {})


async def scraped(metering: Metering) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name -> label values in the order declared -> value."""
    read: dict[str, dict[tuple[str, ...], float]] = {}
    for family in (await metering.measured()).collect():
        for sample in family.samples:
            read.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return read


async def test_scrape_when_everything_was_measured_then_shows_it_and_leaves_out_a_broken_gauge(
    redis_client: RedisClient,
) -> None:
    here = process(redis_client)
    here.meter.count(SENT.name, 2, {"status": "sent"})
    here.meter.observe(TIME.name, 5, {"kind": "note"})
    shown = await scraped(here)
    assert shown[SENT.name] == {("sent",): 2}
    assert shown[f"{TIME.name}_bucket"] == {("note", "0.1"): 0, ("note", "1.0"): 0, ("note", "+Inf"): 1}
    assert (shown[OPEN.name], shown[KEPT.name]) == ({("top",): 2, ("bottom",): 1}, {(): 3})
    assert shown[BOXES.name] == {("box 09",): 9, ("box 08",): 8, (REST,): 28}
    assert not shown.keys() & {LOST.name, f"{SENT.name.removesuffix('_total')}_created"}


async def test_gauge_when_a_reading_names_a_series_no_longer_then_it_is_zero(
    redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = process(redis_client)
    await scraped(here)
    monkeypatch.setattr(f"{__name__}.IN_DRAWERS", {"top": 5.0})
    assert (await scraped(here))[OPEN.name] == {("top",): 5, ("bottom",): 0}


async def test_gauges_when_metering_starts_then_are_set_at_once(redis_client: RedisClient) -> None:
    here = process(redis_client)
    await here.start()
    assert here.meter.registry.get_sample_value(OPEN.name, {"drawer": "top"}) == 2
    await here.stop()


async def test_scrape_when_redis_is_away_then_answers_and_the_use_arrives_once_it_is_back(
    redis_server: EmbeddedRedis, redis_client: RedisClient
) -> None:
    here, acme = process(redis_client), uuid4()
    await redis_server.stop()
    for number in range(1, 4):
        here.meter.served(acme, "acme", 200, 0.01)
        assert not await here.flush()
        assert (await scraped(here))[HOST.name]["acme", "succeeded"] == number
    await redis_server.start()
    patient = RedisClient(redis_server.url, timeout=1.0)
    here._redis_client = patient
    assert await here.flush()
    async with taken(patient, acme) as use:
        assert use.days[0].succeeded == 3
    await patient.close()


async def test_flush_when_its_answer_was_lost_then_the_batch_is_not_added_twice(redis_client: RedisClient) -> None:
    here, acme = process(redis_client), uuid4()

    class Deaf(RedisClient):
        """Does what it is told, and loses the answer."""

        async def call(self, *command):
            await redis_client.call(*command)
            raise Unavailable("the answer was lost")

    here._redis_client = Deaf("unix:///nowhere")
    here.meter.served(acme, "acme", 200, 0.01)
    assert not await here.flush()
    assert not await here.flush()
    here._redis_client = redis_client
    here.meter.served(acme, "acme", 200, 0.01)
    assert await here.flush()
    async with taken(redis_client, acme) as use:
        assert use.days[0].succeeded == 2


async def test_tenants_when_there_are_many_then_the_most_active_have_series_and_nothing_is_lost(
    redis_client: RedisClient,
) -> None:
    here, asked = process(redis_client), 0
    tenants = [(uuid4(), f"tenant-{number:03}") for number in range(60)]
    for _ in range(2):
        for rank, (tenant_id, slug) in enumerate(tenants):
            for _ in range(rank + 1):
                here.meter.served(tenant_id, slug, 200, 0.01)
                asked += 1
        families = here.meter.registry.collect()
        counted = [sample for family in families for sample in family.samples if sample.name == HOST.name]
        assert sum(sample.value for sample in counted) == asked
        await here.flush()
    assert here.meter.top_tenants == {slug for _, slug in tenants[-TOP:]}
    shown = (await scraped(here))[HOST.name]
    assert {tenant for tenant, _ in shown} <= {REST, *here.meter.top_tenants}
    assert shown["tenant-059", "succeeded"] == 60, "it was ranked after the first round"


async def test_tenants_when_others_become_more_active_then_they_take_the_series(redis_client: RedisClient) -> None:
    here = process(redis_client)
    for number in range(TOP):
        for _ in range(5):
            here.meter.served(uuid4(), f"old-{number}", 500, 0.01)
    assert len({tenant for tenant, _ in (await scraped(here))[HOST.name]}) == TOP
    risen = uuid4()
    for _ in range(500):
        here.meter.served(risen, "risen", 404, 0.01)
    await redis_client.call("DEL", "m:top:fresh")  # as after a minute
    await here.flush()
    here.meter.served(risen, "risen", 404, 0.01)
    shown = (await scraped(here))[HOST.name]
    assert (shown["risen", "refused"], shown[REST, "refused"]) == (1, 500)
    assert len({tenant for tenant, _ in shown} - {REST}) == TOP


async def test_tenants_when_known_from_their_jobs_alone_then_have_series_in_every_process(
    redis_client: RedisClient,
) -> None:
    worker, web = process(redis_client), process(redis_client)
    worker.meter.count(BY_TENANT.name, 1, {"tenant": "acme"})
    await worker.flush()
    await web.flush()
    assert web.meter.top_tenants == {"acme"}
