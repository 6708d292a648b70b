"""Count and time things with prometheus_client: the counters, gauges and histograms of one application.

The library bounds neither series nor label values, so `Instrument` stands before it. In multiprocess files a counter
costs 0.7 microseconds and a histogram 1.2 (`python -m benchmarks.metrics`). Where no meter is bound, as in a unit test,
nothing is counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar, cast
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from host.app_context import app_context, enter_app
from host.contracts import DURATIONS, Metric
from host.execution_context import execution_context

REST = "other"
"""The label value of everything without a series of its own: beyond a metric's `most` series, and tenants that are not
among the most active."""

TENANT = "tenant"
"""The name of the label that is filled in with the bound tenant's slug."""

TENANT_REQUESTS = "tenantry_tenant_requests_total"
"""The counter of requests by tenant and outcome."""

TOP = 20
"""How many tenants have series of their own."""

_LONGEST_LABEL = 120

Labels = tuple[str, ...]
T = TypeVar("T")
Kind = TypeVar("Kind", Counter, Gauge, Histogram)


class Ongoing(Protocol):
    """A request that is being answered."""

    operation: str


class Instrument(dict[Labels, Kind], Generic[Kind]):
    """One metric's series in this process by label values, made when first asked for; beyond `most` all are one."""

    def __init__(self, metric: Metric, family: Kind) -> None:
        self.metric = metric
        self._family: Kind = family

    def __missing__(self, labels: Labels) -> Kind:
        legible, rest = _legible(labels), (REST,) * len(labels)
        if legible != labels:
            return self[legible]
        if len(self) >= self.metric.most and labels != rest:
            return self[rest]
        series: Kind = self._family.labels(*labels) if labels else self._family
        self[labels] = series
        return series


async def _timed(series: Histogram, work: Awaitable[T]) -> T:
    began = perf_counter()
    try:
        return await work
    finally:
        series.observe(perf_counter() - began)


@dataclass(slots=True)
class TenantUse:
    """One tenant's requests in this process: numbers by outcome, and how many took how long (seconds)."""

    slug: str
    label: str
    outcomes: dict[str, int] = field(default_factory=lambda: {"succeeded": 0, "refused": 0, "failed": 0})
    seconds: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(DURATIONS) + 1))


class Meter:
    """The instruments of one application in one process; made by `host.app` from every declared metric.

    Attributes:
        registry: the library's registry, one for each application.
        ongoing: the requests that are being answered.
        top_tenants: the slugs that have series of their own, as last ranked.
    """

    def __init__(self, metrics: Sequence[Metric] = ()) -> None:
        self.metrics = {metric.name: metric for metric in metrics}
        self.registry = CollectorRegistry()
        self.counters = {
            metric.name: Instrument(metric, Counter(metric.name, metric.summary, metric.labels, registry=self.registry))
            for metric in metrics
            if metric.kind == "counter"
        }
        self.histograms = {
            metric.name: Instrument(
                metric,
                Histogram(metric.name, metric.summary, metric.labels, registry=self.registry, buckets=metric.buckets),
            )
            for metric in metrics
            if metric.kind == "histogram"
        }
        self.gauges = {
            metric.name: Instrument(
                metric,
                Gauge(metric.name, metric.summary, metric.labels, registry=self.registry, multiprocess_mode="livesum"),
            )
            for metric in metrics
            if metric.each_process
        }
        self.ongoing: set[Ongoing] = set()
        self.top_tenants: set[str] = set()
        self._use: dict[tuple[date, UUID], TenantUse] = {}

    def count(self, name: str, amount: float, labels: Mapping[str, str]) -> None:
        """Add to a counter; see the function `count`."""
        counter = self.counters.get(name)
        if counter is None:
            raise self._unknown(name, "counter")
        if amount < 0:
            raise ValueError(
                f"{name}: a counter only rises, so the amount must not be negative; declare a gauge for what also falls"
            )
        counter[self._values(counter.metric, labels)].inc(amount)

    def observe(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Observe a value; see the function `observe`."""
        histogram = self.histograms.get(name)
        if histogram is None:
            raise self._unknown(name, "histogram")
        histogram[self._values(histogram.metric, labels)].observe(value)

    def served(self, tenant_id: UUID, slug: str, status: int, seconds: float) -> None:
        """Count one answered request of a tenant."""
        key = (datetime.now(UTC).date(), tenant_id)
        use = self._use.get(key)
        requests = self.counters.get(TENANT_REQUESTS)
        if use is None:
            use = self._use[key] = TenantUse(slug, self.tenant_label(slug))
            if requests is not None:
                for outcome in use.outcomes:
                    requests[use.label, outcome].inc(0)  # a series that begins at 0 shows its first failure as a rise
        outcome = "succeeded" if status < 400 else "refused" if status < 500 else "failed"
        use.outcomes[outcome] += 1
        use.counts[bisect_left(DURATIONS, seconds)] += 1
        use.seconds += seconds
        if requests is not None:
            requests[use.label, outcome].inc()

    def take_use(self) -> Mapping[tuple[date, UUID], TenantUse]:
        """The use since the last call, by day (UTC) and tenant; what is returned is forgotten here."""
        use, self._use = self._use, {}
        return use

    def tenant_label(self, slug: str) -> str:
        """The slug if the tenant is among the most active ones or fewer than `TOP` are, else `other`."""
        if slug not in self.top_tenants:
            if len(self.top_tenants) >= TOP:
                return REST
            self.top_tenants.add(slug)
        return slug

    def _values(self, metric: Metric, labels: Mapping[str, str]) -> Labels:
        if TENANT in metric.labels:
            snapshot = execution_context().tenant
            slug = labels.get(TENANT, snapshot.slug if snapshot is not None else REST)
            labels = {**labels, TENANT: REST if slug == REST else self.tenant_label(slug)}
        try:
            if len(labels) == len(metric.labels):
                return tuple([labels[label] for label in metric.labels])
        except KeyError:
            pass
        raise LookupError(f"the metric {metric.name!r} has the labels {metric.labels!r}, not {tuple(labels)!r}")

    def _unknown(self, name: str, kind: str) -> LookupError:
        declared = self.metrics.get(name)
        if declared is None:
            return LookupError(f"no loaded plugin declares the metric {name!r}: return it from register_metrics")
        return LookupError(f"the metric {name!r} is a {declared.kind}, not a {kind}")


def meter() -> Meter | None:
    """The instruments of the application that handles this request, job or command; None outside all of them."""
    return cast("Meter | None", app_context().meter)


def measuring(with_meter: Meter) -> enter_app:
    """Bind an application's instruments for the block."""
    return enter_app(replace(app_context(), meter=with_meter))


def count(name: str, amount: float = 1, /, **labels: str) -> None:
    """Add to a counter that was declared in `register_metrics`.

    labels: exactly those declared, but for `tenant`; values from a small set, never ids or text from callers.

    Raises:
        LookupError: it is not declared, or a label is not or is missing.
        ValueError: amount is negative.

    Example:
        count("tenantry_notes_written_total", kind="private")
    """
    bound = meter()
    if bound is not None:
        bound.count(name, amount, labels)


def observe(name: str, value: float, /, **labels: str) -> None:
    """Record a value in a histogram that was declared in `register_metrics`, in the unit its name says.

    labels: as for `count`.

    Raises:
        LookupError: it is not declared, or a label is not or is missing.

    Example:
        observe("tenantry_notes_export_seconds", seconds)
    """
    bound = meter()
    if bound is not None:
        bound.observe(name, value, labels)


def timed(name: str, labels: Labels, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Record in a histogram how many seconds `work` takes; labels in declared order. A fast path for the host."""
    bound = meter()
    histogram = bound.histograms.get(name) if bound is not None else None
    return work if histogram is None else _timed(histogram[labels], work)


def elapsed(name: str, labels: Labels, began: float) -> None:
    """Record in a histogram the seconds since `began` (by `perf_counter`); as `timed`, where there is no coroutine."""
    bound = meter()
    histogram = bound.histograms.get(name) if bound is not None else None
    if histogram is not None:
        histogram[labels].observe(perf_counter() - began)


def tally(name: str, *labels: str) -> None:
    """Add one to a counter; labels in the order declared. A fast path for the host."""
    bound = meter()
    counter = bound.counters.get(name) if bound is not None else None
    if counter is not None:
        counter[labels].inc()


def _legible(labels: Labels) -> Labels:
    """Label values without control characters, cut to 120 characters."""
    if all(each.isprintable() and len(each) <= _LONGEST_LABEL for each in labels):
        return labels
    return tuple("".join(filter(str.isprintable, each))[:_LONGEST_LABEL] for each in labels)
