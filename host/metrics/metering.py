"""Send this process's metrics to Redis every 5 seconds, and read the totals of all processes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson

from host.cache.client import RedisClient
from host.contracts import Measured, Metric, Readings, Series
from host.errors import Unavailable
from host.execution_context import as_plugin
from host.instruments import REST, Labels, Meter
from host.metrics import sums, use

EVERY = 5.0
"""Seconds between two batches."""

TENANT_REQUESTS = "tenantry_tenant_requests_total"
"""The counter of requests by tenant and outcome."""

_READ_SECONDS = 2.0
_LONGEST_LABEL = 120
_TENANTS_AT_ONCE = 500  # per batch, which Redis adds in one uninterrupted script

_log = logging.getLogger("host.metrics")


class Metering:
    """Sends and reads the metrics of one application.

    owners: metric -> id of the plugin that declares it.
    """

    def __init__(self, redis_client: RedisClient, meter: Meter, owners: Mapping[str, str]) -> None:
        self.meter = meter
        self._redis_client, self._owners = redis_client, owners
        self._process, self._number = uuid4().hex, 0
        self._waiting: list[dict[str, Any]] = []
        self._sending = asyncio.Lock()
        self._kept: dict[str, tuple[float, Readings]] = {}
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to send metrics. Call it with the services bound and no tenant."""
        self._loop = asyncio.create_task(self._repeat())

    async def stop(self) -> None:
        """Send the remaining metrics and remove this process's gauges."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        if await self.flush():
            try:
                await sums.withdraw(self._redis_client, self._process)
            except Unavailable:
                _log.debug("Redis is unavailable; other processes drop this process's gauges after 30 seconds")

    async def flush(self) -> bool:
        """Send what was measured since the last call; unsent data is kept. True if everything was sent."""
        async with self._sending:
            try:
                await self._send_waiting()
                self._waiting = list(self._batches(await self._levels()))
                await self._send_waiting()
            except Unavailable as error:
                _log.debug("metrics are kept until Redis is available again: %s", error)
                return False
            return True

    async def measured(self) -> Sequence[Measured]:
        """Every metric with the whole deployment's figures: up to now for this process, seconds old for others.

        A gauge that cannot be read is left out, and logged.

        Raises:
            Unavailable: Redis is away.
        """
        await self.flush()
        totals = await sums.read(self._redis_client, self._metrics)
        shared_gauges = [each for each in self._metrics if each.read is not None and not each.each_process]
        readings = await asyncio.gather(*map(self._reading, shared_gauges))
        gauges = {each.name: dict(reading) for each, reading in zip(shared_gauges, readings, strict=True)}
        for process in totals.levels:
            for name, reading in process.items():
                total = gauges.setdefault(name, {})
                for values, number in reading:
                    labels = tuple(values)
                    total[labels] = total.get(labels, 0) + number
        shown = [Measured(each, _bounded(each, gauges.get(each.name, {}))) for each in self._metrics if each.read]
        return [*totals.measured, *shown]

    # -- steps -------------------------------------------------------------------------------------------

    @property
    def _metrics(self) -> Sequence[Metric]:
        return tuple(self.meter.metrics.values())

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.flush()
            except Exception:
                _log.exception("the metrics of this process could not be sent")

    async def _send_waiting(self) -> None:
        while self._waiting:
            await sums.add(self._redis_client, self._waiting[0])
            del self._waiting[0]

    def _batches(self, levels: str) -> Iterator[dict[str, Any]]:
        tenant_use = list(self.meter.take_use().items())
        if (requests := self.meter.counters.get(TENANT_REQUESTS)) is not None:
            for _, spent in tenant_use:
                for outcome in ("succeeded", "refused", "failed"):
                    requests.add((spent.slug, outcome), getattr(spent, outcome))
        moved = [*self._moved_counters(), *self._moved_histograms()]
        today = datetime.now(UTC).date()
        for start in range(0, max(1, len(tenant_use)), _TENANTS_AT_ONCE):
            in_batch = tenant_use[start : start + _TENANTS_AT_ONCE]
            self._number += 1
            yield {
                "process": self._process,
                "number": self._number,
                "today": today.isoformat(),
                "yesterday": (today - timedelta(days=1)).isoformat(),
                "levels": levels,
                "rank": [(spent.slug, sum(spent.spread.counts)) for _, spent in in_batch],
                "moved": moved if start == 0 else [],
                "use": [(use.gathered_key(tenant), use.fields(day, spent)) for (day, tenant), spent in in_batch],
            }

    def _moved_counters(self) -> Iterator[dict[str, Any]]:
        for counter in self.meter.counters.values():
            if moved := counter.take():
                yield _described(counter.metric, [(_legible(labels), number) for labels, number in moved.items()])

    def _moved_histograms(self) -> Iterator[dict[str, Any]]:
        for histogram in self.meter.histograms.values():
            if moved := histogram.take():
                series = [
                    (_legible(labels), spread.sum, [each for each in enumerate(spread.counts) if each[1]])
                    for labels, spread in moved.items()
                ]
                yield _described(histogram.metric, series)

    async def _levels(self) -> str:
        """The values of the gauges that are read in each process, as JSON."""
        own = [each for each in self._metrics if each.each_process]
        readings = await asyncio.gather(*map(self._reading, own))
        levels = {each.name: _bounded(each, dict(reading)) for each, reading in zip(own, readings, strict=True)}
        return orjson.dumps({name: [(s.labels, s.value) for s in series] for name, series in levels.items()}).decode()

    async def _reading(self, metric: Metric) -> Readings:
        """Read a gauge, or return its value if it was read within `keep`; nothing when reading fails."""
        read, last_reading = metric.read, self._kept.get(metric.name)
        now = time.monotonic()
        if read is None:
            return ()
        if last_reading is not None and not metric.each_process and now - last_reading[0] < metric.keep:
            return last_reading[1]
        try:
            with as_plugin(self._owners.get(metric.name, "host")):
                async with asyncio.timeout(_READ_SECONDS):
                    reading = await read()
        except Exception as error:
            _log.warning("the gauge %s could not be read: %s: %s", metric.name, type(error).__name__, error)
            return ()
        self._kept[metric.name] = now, reading
        return reading


def _described(metric: Metric, series: Sequence[object]) -> dict[str, Any]:
    tenant = sums.tenant_position(metric)
    return {"key": sums.key_of(metric), "most": metric.most, "tenant": tenant, "series": series}


def _legible(labels: Labels) -> Labels:
    """Label values without control characters, cut to 120 characters."""
    if all(each.isprintable() and len(each) <= _LONGEST_LABEL for each in labels):
        return labels
    return tuple("".join(filter(str.isprintable, each))[:_LONGEST_LABEL] for each in labels)


def _bounded(metric: Metric, reading: Mapping[Labels, float]) -> tuple[Series, ...]:
    """A gauge's series: the largest `most` of them, the rest summed in one."""
    if len(reading) <= metric.most:
        return tuple(Series(tuple(labels), float(value)) for labels, value in sorted(reading.items()))
    ranked = sorted(reading.items(), key=lambda each: -each[1])
    rest = sum(value for _, value in ranked[metric.most - 1 :])
    kept = {**dict(ranked[: metric.most - 1]), (REST,) * len(metric.labels): rest}
    return tuple(Series(labels, float(value)) for labels, value in sorted(kept.items()))
