"""The exposition: what was measured, as Prometheus and OpenMetrics read it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from host.sdk import Measured, Stream


class HostCollector(Collector):
    """What the whole deployment measured, as prometheus-client takes it; read once, so there is nothing to register."""

    def __init__(self, found: Sequence[Measured]) -> None:
        self._found = found

    def collect(self) -> Iterator[Family]:
        """Each metric with its series."""
        return map(_family, self._found)


def exposition(found: Sequence[Measured], accept: str, accept_encoding: str) -> Stream:
    """What was measured, in the newest format that `accept` names, else Prometheus' text 0.0.4; packed if it may be."""
    encode, content_type = choose_encoder(accept)
    body = encode(HostCollector(found))
    if not gzip_accepted(accept_encoding):
        return Stream(body, content_type)
    return Stream(gzip.compress(body, 5), content_type, headers={"Content-Encoding": "gzip"})


def _family(measured: Measured) -> Family:
    metric = measured.metric
    if metric.kind == "counter":
        counter = CounterMetricFamily(metric.name, metric.summary, labels=metric.labels)
        for each in measured.series:
            counter.add_metric(each.labels, each.value)
        return counter
    if metric.kind == "gauge":
        gauge = GaugeMetricFamily(metric.name, metric.summary, labels=metric.labels)
        for each in measured.series:
            gauge.add_metric(each.labels, each.value)
        return gauge
    histogram = HistogramMetricFamily(metric.name, metric.summary, labels=metric.labels)
    bounds = [*map(str, metric.buckets), "+Inf"]
    for each in measured.series:
        histogram.add_metric(each.labels, list(zip(bounds, accumulate(each.counts), strict=True)), each.value)
    return histogram
