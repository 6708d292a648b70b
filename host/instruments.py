"""Count and time things in this process: counters and histograms, kept until they are sent to Redis.

Counting is two dictionary look-ups and an addition, in the event loop's thread: cheap enough for every request, inside
transactions and outside them. Where no meter is bound, as in a unit test, nothing is counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from time import perf_counter
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from host.app_context import app_context, enter_app
from host.contracts import DURATIONS, Metric
from host.execution_context import execution_context

REST = "other"
"""The label value of everything without a series of its own: beyond a metric's `most` series, and tenants that are not
among the most active."""

TENANT = "tenant"
"""The name of the label that is filled in with the bound tenant's slug."""

Labels = tuple[str, ...]
T = TypeVar("T")


class Ongoing(Protocol):
    """A request that is being answered."""

    operation: str


class Counter:
    """A metric that only rises, by label values; holds what has not been sent yet."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._labels = metric.labels
        self._most = metric.most
        self._rest = (REST,) * len(metric.labels)
        self._moved: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Add to the series with these label values, in the order declared."""
        moved = self._moved
        if labels in moved:
            moved[labels] += amount
        elif len(moved) < self._most:
            moved[labels] = amount
        else:
            moved[self._rest] = moved.get(self._rest, 0) + amount

    def take(self) -> Mapping[Labels, float]:
        """The values since the last call, by labels; what is returned is forgotten here."""
        moved, self._moved = self._moved, {}
        return moved


@dataclass(slots=True)
class Spread:
    """The values observed by a histogram: the count of each bucket (the last: above every bound), and their sum."""

    counts: list[int]
    sum: float = 0.0


class Histogram:
    """Observations sorted into buckets, by label values; what has not been sent yet."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._most = metric.most
        self._rest = (REST,) * len(metric.labels)
        self._bounds = metric.buckets
        self._moved: dict[Labels, Spread] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Sort one value into the series with these label values."""
        spread = self._moved.get(labels)
        if spread is None:
            if len(self._moved) >= self._most:
                labels = self._rest
            spread = self._moved.setdefault(labels, Spread([0] * (len(self._bounds) + 1)))
        spread.counts[bisect_left(self._bounds, value)] += 1
        spread.sum += value

    async def time(self, labels: Labels, work: Awaitable[T]) -> T:
        """Await `work` and observe how many seconds it took, even if it raises."""
        began = perf_counter()
        try:
            return await work
        finally:
            self.observe(labels, perf_counter() - began)

    def take(self) -> Mapping[Labels, Spread]:
        """The values since the last call, by labels; what is returned is forgotten here."""
        moved, self._moved = self._moved, {}
        return moved


@dataclass(slots=True)
class TenantUse:
    """One tenant's requests in this process: numbers by outcome, and a histogram of their duration (seconds)."""

    slug: str
    succeeded: int = 0
    refused: int = 0
    failed: int = 0
    spread: Spread = field(default_factory=lambda: Spread([0] * (len(DURATIONS) + 1)))


class Meter:
    """The instruments of one application in one process; made by `host.app` from every declared metric.

    Attributes:
        ongoing: the requests that are being answered.
    """

    def __init__(self, metrics: Sequence[Metric] = ()) -> None:
        self.metrics = {metric.name: metric for metric in metrics}
        self.counters = {each.name: Counter(each) for each in metrics if each.kind == "counter"}
        self.histograms = {each.name: Histogram(each) for each in metrics if each.kind == "histogram"}
        self.ongoing: set[Ongoing] = set()
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
        counter.add(_values(counter.metric, labels), amount)

    def observe(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Observe a value; see the function `observe`."""
        histogram = self.histograms.get(name)
        if histogram is None:
            raise self._unknown(name, "histogram")
        histogram.observe(_values(histogram.metric, labels), value)

    def served(self, tenant_id: UUID, slug: str, status: int, seconds: float) -> None:
        """Count one answered request of a tenant."""
        key = (datetime.now(UTC).date(), tenant_id)
        use = self._use.get(key)
        if use is None:
            use = self._use[key] = TenantUse(slug)
        if status < 400:
            use.succeeded += 1
        elif status < 500:
            use.refused += 1
        else:
            use.failed += 1
        use.spread.counts[bisect_left(DURATIONS, seconds)] += 1
        use.spread.sum += seconds

    def take_use(self) -> Mapping[tuple[date, UUID], TenantUse]:
        """The use since the last call, by day (UTC) and tenant; what is returned is forgotten here."""
        use, self._use = self._use, {}
        return use

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
    """
    bound = meter()
    if bound is not None:
        bound.count(name, amount, labels)


def observe(name: str, value: float, /, **labels: str) -> None:
    """Record a value in a histogram that was declared in `register_metrics`, in the unit its name says.

    labels: as for `count`.

    Raises:
        LookupError: it is not declared, or a label is not or is missing.
    """
    bound = meter()
    if bound is not None:
        bound.observe(name, value, labels)


def timed(name: str, labels: Labels, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Record in a histogram how many seconds `work` takes; labels in declared order. A fast path for the host."""
    bound = meter()
    histogram = bound.histograms.get(name) if bound is not None else None
    return work if histogram is None else histogram.time(labels, work)


def tally(name: str, *labels: str) -> None:
    """Add one to a counter; labels in the order declared. A fast path for the host."""
    bound = meter()
    counter = bound.counters.get(name) if bound is not None else None
    if counter is not None:
        counter.add(labels)


def _values(metric: Metric, labels: Mapping[str, str]) -> Labels:
    declared = metric.labels
    if len(labels) == len(declared):
        try:
            return tuple([labels[label] for label in declared])
        except KeyError:
            pass
    elif TENANT in declared and TENANT not in labels and len(labels) == len(declared) - 1:
        snapshot = execution_context().tenant
        return _values(metric, {**labels, TENANT: snapshot.slug if snapshot is not None else REST})
    raise LookupError(f"the metric {metric.name!r} has the labels {declared!r}, not {tuple(labels)!r}")
