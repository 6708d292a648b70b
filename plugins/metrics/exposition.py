"""Encode the measured metrics as Prometheus text or OpenMetrics."""

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
    """The deployment's metrics as a prometheus-client collector; made per scrape, so it is never registered."""

    def __init__(self, metrics: Sequence[Measured]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Family]:
        """Each metric with its series."""
        return map(_family, self._metrics)


def exposition(metrics: Sequence[Measured], accept: str, accept_encoding: str) -> Stream:
    """The metrics in the newest format that `accept` names, else Prometheus text 0.0.4; with gzip if accepted."""
    encode, content_type = choose_encoder(accept)
    body = encode(HostCollector(metrics))
    if not gzip_accepted(accept_encoding):
        return Stream(body, content_type)
    return Stream(gzip.compress(body, 5), content_type, headers={"Content-Encoding": "gzip"})


def _family(measured: Measured) -> Family:
    metric = measured.metric
    if metric.kind == "counter":
        counter = CounterMetricFamily(metric.name, metric.summary, labels=metric.labels)
        for series in measured.series:
            counter.add_metric(series.labels, series.value)
        return counter
    if metric.kind == "gauge":
        gauge = GaugeMetricFamily(metric.name, metric.summary, labels=metric.labels)
        for series in measured.series:
            gauge.add_metric(series.labels, series.value)
        return gauge
    histogram = HistogramMetricFamily(metric.name, metric.summary, labels=metric.labels)
    bounds = [*map(str, metric.buckets), "+Inf"]
    for series in measured.series:
        histogram.add_metric(series.labels, list(zip(bounds, accumulate(series.counts), strict=True)), series.value)
    return histogram
