"""Counting in one process: what counts where, what is refused, and what it costs."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from uuid import uuid4

import pytest

from host.contracts import Metric
from host.core_metrics import METRICS
from host.execution_context import in_tenant
from host.instruments import REST, TOP, Meter, count, measuring, observe, tally
from tenants.models import TenantStatus
from tenants.snapshots import TenantSnapshot

ROOT = Path(__file__).parents[1]
SENT = Metric("tenantry_letters_sent_total", "counter", "Letters sent", ("status", "kind"))
TIME = Metric("tenantry_letters_seconds", "histogram", "Time of a letter", ("kind",), buckets=(0.1, 1.0))
BY_TENANT = Metric("tenantry_letters_tenant_total", "counter", "Letters of each tenant", ("tenant", "status"))
EMPTY = MappingProxyType({})
ACME = TenantSnapshot(
    uuid4(), "acme", "Acme", "free", TenantStatus.ACTIVE, "", EMPTY, EMPTY, EMPTY, datetime.now(UTC), 1
)


def meter(*metrics: Metric) -> Meter:
    return Meter(metrics or (SENT, TIME, BY_TENANT))


def series(here: Meter, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name by their label values, in the order declared, `le` last."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in here.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_count_when_labels_come_in_any_order_then_one_series() -> None:
    here = meter()
    with measuring(here):
        count(SENT.name, status="sent", kind="note")
        count(SENT.name, 2.5, kind="note", status="sent")
        count(SENT.name, status="lost", kind="note")
    assert series(here, SENT.name) == {("sent", "note"): 3.5, ("lost", "note"): 1}


def test_observe_when_values_meet_a_bound_then_they_are_in_its_bucket() -> None:
    here = meter()
    with measuring(here):
        for value in (0.05, 0.1, 0.2, 7.0):
            observe(TIME.name, value, kind="note")
    buckets = {("note", "0.1"): 2, ("note", "1.0"): 3, ("note", "+Inf"): 4}
    assert series(here, f"{TIME.name}_bucket") == buckets
    assert series(here, f"{TIME.name}_sum") == {("note",): pytest.approx(7.35)}


def test_tenant_label_when_a_tenant_is_bound_then_is_its_slug_and_otherwise_other() -> None:
    here = meter()
    with measuring(here):
        count(BY_TENANT.name, status="sent")
        with in_tenant(ACME):
            count(BY_TENANT.name, status="sent")
    assert series(here, BY_TENANT.name) == {(REST, "sent"): 1, ("acme", "sent"): 1}


def test_tenant_label_when_there_are_many_tenants_then_those_beyond_the_most_active_are_other() -> None:
    here = meter()
    here.top_tenants = {f"busy-{number}" for number in range(TOP - 1)}
    with measuring(here):
        for slug in ("busy-0", "first", "second", "busy-0", "third"):
            count(BY_TENANT.name, tenant=slug, status="sent")
    assert series(here, BY_TENANT.name) == {("busy-0", "sent"): 2, ("first", "sent"): 1, (REST, "sent"): 2}


def test_meters_when_several_live_in_one_process_then_share_nothing() -> None:
    first, second = meter(), meter()
    with measuring(first):
        count(SENT.name, status="sent", kind="note")
    with measuring(second):
        count(SENT.name, 5, status="sent", kind="note")
    assert (series(first, SENT.name), series(second, SENT.name)) == ({("sent", "note"): 1}, {("sent", "note"): 5})


def test_labels_when_they_hold_what_no_label_should_then_are_made_legible() -> None:
    here = meter(BY_KIND := Metric("tenantry_letters_kinds_total", "counter", "x", ("kind",)))
    with measuring(here):
        for kind in ("a\x1fb\x1ec\nd", "x" * 10_000, 'ü"\\'):
            count(BY_KIND.name, kind=kind)
    assert set(series(here, BY_KIND.name)) == {("abcd",), ("x" * 120,), ('ü"\\',)}


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: count("tenantry_absent_total"), LookupError, "no loaded plugin declares the metric"),
        (lambda: count(TIME.name, kind="note"), LookupError, "is a histogram, not a counter"),
        (lambda: observe(SENT.name, 1, status="sent", kind="note"), LookupError, "is a counter, not a histogram"),
        (lambda: count(SENT.name, status="sent"), LookupError, "has the labels"),
        (lambda: count(SENT.name, status="sent", colour="red"), LookupError, "has the labels"),
        (lambda: count(SENT.name, status="sent", kind="note", id="7"), LookupError, "has the labels"),
        (lambda: count(SENT.name, -1, status="sent", kind="note"), ValueError, "only rises"),
    ],
)
def test_count_when_it_is_not_as_declared_then_says_so(call, error, said) -> None:
    with measuring(meter()), pytest.raises(error, match=said):
        call()


def test_count_when_no_application_is_bound_then_nothing_happens() -> None:
    count("tenantry_absent_total", whatever="x")
    observe("tenantry_absent_seconds", 1.0)
    tally("tenantry_absent_total", "x")


def test_labels_when_somebody_makes_up_too_many_then_the_rest_is_one_series() -> None:
    here = meter(Metric("tenantry_letters_total", "counter", "x", ("word",), most=10), TIME)
    with measuring(here):
        for number in range(1000):
            count("tenantry_letters_total", word=f"word{number}")
        count("tenantry_letters_total", word="word3")
        for number in range(2000):
            observe(TIME.name, 0.5, kind=f"kind{number}")
    moved = series(here, "tenantry_letters_total")
    assert len(moved) == 11
    assert (moved[("word3",)], moved[(REST,)], sum(moved.values())) == (2, 990, 1001)
    numbers = series(here, f"{TIME.name}_count")
    assert (len(numbers), sum(numbers.values())) == (TIME.most + 1, 2000)


def test_count_when_timed_then_costs_next_to_nothing() -> None:
    def microseconds(call) -> float:
        best = min(_timed(call) for _ in range(5))
        return best / 20_000 * 1e6

    def _timed(call) -> float:
        began = perf_counter()
        for _ in range(20_000):
            call()
        return perf_counter() - began

    with measuring(meter()):
        costs = {
            "count": microseconds(lambda: count(SENT.name, status="sent", kind="note")),
            "observe": microseconds(lambda: observe(TIME.name, 0.2, kind="note")),
            "tally": microseconds(lambda: tally(SENT.name, "sent", "note")),
        }
    assert max(costs.values()) < 10, costs  # 2 on a machine with nothing else to do


def test_metrics_when_counted_anywhere_in_the_sources_then_are_declared_with_as_many_labels() -> None:
    """The short ways take a name on trust: a typing mistake would count nothing."""
    declared = {each.name: each for each in METRICS}
    found = []
    for file in chain((ROOT / "host").rglob("*.py"), (ROOT / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _names_a_metric(node.value):
                found.append((file.name, node.value))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tally":
                metric = declared[node.args[0].value]
                assert len(node.args) - 1 == len(metric.labels), f"{file.name}:{node.lineno}"
    assert {name for file, name in found if name.startswith(_OURS)} <= set(declared), found


_OURS = ("tenantry_http_", "tenantry_database_", "tenantry_redis_", "tenantry_job", "tenantry_hook", "tenantry_event")


def _names_a_metric(text: str) -> bool:
    return re.fullmatch(r"tenantry_[a-z_]+(_total|_seconds)", text) is not None
