"""Set this process's gauges and send its tenants' use every 5 seconds, and show the whole machine's metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from host.cache.client import RedisClient
from host.contracts import Metric, Readings
from host.errors import Unavailable
from host.execution_context import as_plugin
from host.instruments import REST, TENANT, Meter
from host.metrics import process_files, use
from host.periodic import Periodic

EVERY = 5.0
"""Seconds between two readings of this process's gauges, and between two batches of use."""

_READ_SECONDS = 2.0
_TENANTS_AT_ONCE = 500  # per batch, which Redis adds in one uninterrupted script

_log = logging.getLogger("host.metrics")


class Metering(Collector):
    """Reads the gauges of one application, shows its metrics and sends its tenants' use.

    owners: metric -> id of the plugin that declares it.
    """

    def __init__(self, redis_client: RedisClient, meter: Meter, owners: Mapping[str, str]) -> None:
        self.meter = meter
        self._redis_client, self._owners = redis_client, owners
        self._folder = process_files.shared_folder()
        self._process, self._number = uuid4().hex, 0
        self._waiting: list[dict[str, Any]] = []
        self._sending = asyncio.Lock()
        self._kept: dict[str, tuple[float, Readings]] = {}
        self._repeating = Periodic(
            self._read_and_send, EVERY, _log, "the gauges of this process could not be read", at_once=False
        )

    async def start(self) -> None:
        """Learn which tenants are the most active, and start. Call it with the services bound and no tenant."""
        await self.flush()
        await self._read_own_gauges()
        self._repeating.start()

    async def stop(self) -> None:
        """Send the remaining use."""
        await self._repeating.stop()
        await self.flush()

    async def flush(self) -> bool:
        """Send the tenants' use since the last call; unsent use is kept. True if everything was sent."""
        async with self._sending:
            try:
                await self._send_waiting()
                self._waiting = list(self._batches())
                await self._send_waiting()
            except Unavailable as error:
                _log.debug("the tenants' use is kept until Redis is available again: %s", error)
                return False
            return True

    async def measured(self) -> Collector:
        """What all processes of this machine have measured: up to now, but for other processes' gauges.

        Those are at most 5 seconds old. A gauge that cannot be read is left out, and logged.
        """
        await self.flush()
        await self._read_own_gauges()
        shared = [each for each in self.meter.metrics.values() if each.read is not None and not each.each_process]
        readings = await asyncio.gather(*map(self._reading, shared))
        return Measured(self.meter, self._folder, list(zip(shared, readings, strict=True)))

    def collect(self) -> Iterator[Family]:
        """The same but for gauges that ask the database; a thread may call it."""
        return Measured(self.meter, self._folder, ()).collect()

    # -- steps -------------------------------------------------------------------------------------------

    async def _read_and_send(self) -> None:
        await self._read_own_gauges()
        await self.flush()

    async def _send_waiting(self) -> None:
        while self._waiting:
            self.meter.top_tenants = await use.add(self._redis_client, self._waiting[0])
            del self._waiting[0]

    def _batches(self) -> Iterator[dict[str, Any]]:
        tenant_use, today = list(self.meter.take_use().items()), datetime.now(UTC).date()
        for start in range(0, max(1, len(tenant_use)), _TENANTS_AT_ONCE):
            in_batch = tenant_use[start : start + _TENANTS_AT_ONCE]
            self._number += 1
            yield {
                "process": self._process,
                "number": self._number,
                "today": today.isoformat(),
                "yesterday": (today - timedelta(days=1)).isoformat(),
                # 0: a tenant that was given a series for what its jobs count
                "rank": [
                    *((spent.slug, sum(spent.counts)) for _, spent in in_batch),
                    *((slug, 0) for slug in self.meter.top_tenants),
                ],
                "use": [(use.gathered_key(tenant), use.fields(day, spent)) for (day, tenant), spent in in_batch],
            }

    async def _read_own_gauges(self) -> None:
        """Set the gauges that are read in each process; what a reading no longer names is 0."""
        for gauge in self.meter.gauges.values():
            reading = _bounded(gauge.metric, dict(await self._reading(gauge.metric)))
            for labels in gauge.keys() - reading.keys():
                gauge[labels].set(0)
            for labels, value in reading.items():
                gauge[labels].set(value)

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


class Measured(Collector):
    """The metrics of one scrape, in a form that prometheus_client encodes; collected in a thread, as it takes time.

    folder: where this machine's processes count; None where this process counts for itself alone.
    readings: the gauges that are the same whoever reads them.
    """

    def __init__(self, meter: Meter, folder: Path | None, readings: Iterable[tuple[Metric, Readings]]) -> None:
        self._registry, self._folder, self._readings = meter.registry, folder, readings
        self._labels = {name.removesuffix("_total"): each.labels for name, each in meter.metrics.items()}
        self._tenants = {*meter.top_tenants, REST}

    def collect(self) -> Iterator[Family]:
        """Each metric with its series."""
        families = self._registry.collect() if self._folder is None else process_files.merged(self._folder)
        for family in families:
            family.samples = [sample for sample in family.samples if self._is_shown(family.name, sample)]
            yield family
        for metric, reading in self._readings:
            gauge = GaugeMetricFamily(metric.name, metric.summary, labels=metric.labels)
            for labels, value in sorted(_bounded(metric, dict(reading)).items()):
                gauge.add_metric(labels, value)
            yield gauge

    def _is_shown(self, name: str, sample: Sample) -> bool:
        """Whether the labels are as declared, not as by another release, and the tenant is among the active ones."""
        labels = sample.labels.keys() - {"le"}
        is_declared = name not in self._labels or labels == set(self._labels[name])
        is_active = sample.labels.get(TENANT, REST) in self._tenants
        return is_declared and is_active and not sample.name.endswith("_created")


def _bounded(metric: Metric, reading: Mapping[tuple[str, ...], float]) -> Mapping[tuple[str, ...], float]:
    """A gauge's series: the largest `most` of them, the rest summed in one."""
    if len(reading) <= metric.most:
        return reading
    ranked = sorted(reading.items(), key=lambda each: -each[1])
    rest = sum(value for _, value in ranked[metric.most - 1 :])
    return {**dict(ranked[: metric.most - 1]), (REST,) * len(metric.labels): rest}
