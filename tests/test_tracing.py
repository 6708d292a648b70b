"""One trace from a request through hooks and SQL to the job it started, seen by an exporter that keeps spans."""

from __future__ import annotations

import asyncio
import http.server
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from host.app import Application
from host.contracts import Task
from host.errors import ConfigurationError
from host.jobs.models import Job
from host.log import REQUESTS, RUNS, configure
from host.services import unit_of_work
from host.settings import Settings
from host.testing import Client, TestApplication, TwoTenants
from host.tracing import _described, trace_headers, trace_id, traceparent
from tenants.context import bind

ROOT = Path(__file__).parents[1]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def switched_on(settings: Settings, **more: object) -> Settings:
    tracing = settings.tracing.model_copy(update={"exporter": "log", **more})
    return settings.model_copy(update={"tracing": tracing})


@pytest.fixture
async def traced_application(app_settings: Settings) -> AsyncIterator[TestApplication]:
    tenants = app_settings.tenants.model_copy(update={"grace_days": 0})
    async with TestApplication.open(switched_on(app_settings.model_copy(update={"tenants": tenants}))) as opened:
        yield opened


@pytest.fixture
def spans(traced_application: TestApplication) -> InMemorySpanExporter:
    return keep(traced_application)


@pytest.fixture
async def acme(traced_application: TestApplication, spans: InMemorySpanExporter) -> AsyncIterator[Client]:
    async with TwoTenants.create(traced_application) as both:
        spans.clear()
        yield both.acme


@pytest.fixture
def json_lines() -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """The lines of one logger, as they are written for machines."""
    root, out = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    configure("info", "json", out)
    yield lambda name: [line for line in map(json.loads, out.getvalue().splitlines()) if line["logger"] == name]
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in (REQUESTS, RUNS):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    structlog.reset_defaults()


def keep(application: TestApplication) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    assert application.inner.tracing is not None
    application.inner.tracing.provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def named(spans: InMemorySpanExporter, beginning: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name.startswith(beginning)]


def parent_of(span: ReadableSpan) -> int:
    return span.parent.span_id if span.parent else 0


def facts(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def trace_of(span: ReadableSpan) -> str:
    return format(span.context.trace_id, "032x") if span.context else ""


async def test_request_when_traced_then_its_hooks_and_queries_hang_below_it(
    acme: Client, spans: InMemorySpanExporter
) -> None:
    answer = await acme.post("/api/v1/projects", json={"name": "Land on the Moon"}, headers={"traceparent": CALLER})
    assert answer.status_code == 201
    [request] = named(spans, "POST ")
    assert request.name == "POST /api/v1/projects"
    assert (trace_of(request), parent_of(request)) == (CALLER[3:35], int(CALLER[36:52], 16))
    told = facts(request)
    assert (told["http.route"], told["http.request.method"]) == ("/api/v1/projects", "POST")
    assert (told["http.response.status_code"], told["tenantry.plugin"]) == (201, "projects")
    assert told["tenantry.tenant"] == str(acme.tenant_id)
    assert told["tenantry.request"] == answer.headers["x-request-id"]
    assert told["tenantry.operation"] == "projects.projects.create"
    assert answer.headers["traceresponse"] == f"00-{trace_of(request)}-{request.context.span_id:016x}-01"  # type: ignore[union-attr]

    hooks = named(spans, "hook ")
    assert ("hook on_action", "audit") in {(hook.name, facts(hook)["tenantry.plugin"]) for hook in hooks}
    assert {parent_of(hook) for hook in hooks} == {request.context.span_id}  # type: ignore[union-attr]
    statements = [span for span in spans.get_finished_spans() if "db.statement" in facts(span)]
    ids = {span.context.span_id for span in (request, *hooks) if span.context}
    assert {parent_of(span) for span in statements} <= ids
    assert {trace_of(span) for span in spans.get_finished_spans()} == {CALLER[3:35]}
    assert any("projects_projects" in facts(span)["db.statement"] for span in statements)
    everything = json.dumps([dict(facts(span)) for span in spans.get_finished_spans()])
    assert "Moon" not in everything
    assert "owner@acme.example" not in everything


async def test_job_when_a_traced_request_enqueued_it_then_runs_in_the_same_trace_with_its_own_queries_and_hooks(
    acme: Client, traced_application: TestApplication, spans: InMemorySpanExporter
) -> None:
    closed = await acme.delete("/api/v1/tenant?confirm=acme")
    assert closed.status_code == 202
    await traced_application.run_jobs()
    [request] = named(spans, "DELETE /api/v1/tenant")
    [job] = named(spans, "job host.purge")
    assert request.context is not None
    assert job.context is not None
    assert {trace_of(span) for span in spans.get_finished_spans()} == {trace_of(request)}
    assert parent_of(job) == request.context.span_id
    told = facts(job)
    assert (told["tenantry.task"], told["tenantry.plugin"], told["tenantry.attempt"]) == ("host.purge", "host", 1)
    assert told["tenantry.tenant"] == str(acme.tenant_id)
    assert told["tenantry.request"] == closed.headers["x-request-id"]
    below = [span for span in spans.get_finished_spans() if parent_of(span) == job.context.span_id]
    assert any(facts(span).get("db.operation") == "DELETE" for span in below), "the job's own queries"


async def test_job_when_its_request_was_not_sampled_then_is_not_recorded_either(
    app_settings: Settings,
) -> None:
    async with TestApplication.open(switched_on(app_settings, sample_ratio=0.0)) as opened:
        spans = keep(opened)
        async with opened.client() as anonymous:
            body = {"email": "a@b.example", "password": "correct horse battery", "name": "A", "tenant_name": "Hooli"}
            answer = await anonymous.post("/api/v1/auth/register", json=body)
            assert int(answer.headers["traceresponse"][-2:], 16) & 1 == 0, "the flag that says it is recorded"
            with opened.inner.bound():
                job = await Job.get(task="host.tenant_created")
            assert job.origin["traceparent"].split("-")[1] == answer.headers["traceresponse"].split("-")[1]
            with opened.inner.bound():
                await Job.filter(task="host.tenant_created").update(attempts=0)
            assert await opened.run_jobs() > 0
            assert spans.get_finished_spans() == ()
            body = {"email": "a@b.example", "password": "correct horse battery"}
            await anonymous.post("/api/v1/auth/login", json=body, headers={"traceparent": CALLER})
        assert {trace_of(span) for span in spans.get_finished_spans()} == {CALLER[3:35]}, "the caller records it"


async def test_callers_when_not_trusted_then_get_a_trace_of_our_own(app_settings: Settings) -> None:
    async with TestApplication.open(switched_on(app_settings, trust_callers=False)) as opened:
        spans = keep(opened)
        async with opened.client(traceparent=CALLER) as anonymous:
            await anonymous.get("/api/v1/health")
        [request] = named(spans, "GET /api/v1/health")
        assert (trace_of(request) != CALLER[3:35], request.parent) == (True, None)


@pytest.mark.parametrize("sent", ["", "00-zz-zz-01", f"{CALLER}-x", CALLER.replace("b7", "B7"), "x" * 5000, "\xff"])
async def test_traceparent_when_it_is_not_one_then_ignored(
    acme: Client, spans: InMemorySpanExporter, sent: str
) -> None:
    answer = await acme.get("/api/v1/tenant", headers={"traceparent": sent.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == 200
    [request] = named(spans, "GET /api/v1/tenant")
    assert request.parent is None


async def test_request_when_refused_or_unknown_then_span_has_no_path_and_no_error(
    acme: Client, spans: InMemorySpanExporter
) -> None:
    await acme.ask("GET", "/tenant/nothing-like-my-secret", 404)
    [request] = named(spans, "GET")
    assert (request.name, "http.route" in facts(request)) == ("GET", False)
    assert facts(request)["http.response.status_code"] == 404
    assert request.status.is_ok or request.status.is_unset
    assert "my-secret" not in request.to_json()


async def test_span_when_something_unexpected_happens_then_names_the_kind_and_not_the_words(
    acme: Client, traced_application: TestApplication, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise LookupError("the number of Ada's card")

    monkeypatch.setattr("plugins.projects.service.spend", broken)
    await acme.ask("POST", "/projects", 500, json={"name": "Apollo"})
    [request] = named(spans, "POST /api/v1/projects")
    assert (facts(request)["error.type"], request.status.is_ok) == ("500", False)
    assert "Ada" not in request.to_json()


async def test_job_when_it_fails_then_its_span_names_the_kind_and_not_the_words(
    acme: Client, traced_application: TestApplication, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise LookupError("the number of Ada's card")

    runner = traced_application.inner.runner
    monkeypatch.setattr(runner, "_tasks", {**runner._tasks, "host.broken": Task("broken", broken, "for a test")})
    with traced_application.inner.bound(), bind(acme.tenant_id):
        async with unit_of_work() as work:
            await work.enqueue("host.broken")
    await traced_application.run_jobs()
    [job] = named(spans, "job host.broken")
    assert (facts(job)["error.type"], job.status.is_ok, job.parent) == ("LookupError", False, None)
    assert "Ada" not in job.to_json()


async def test_trace_headers_when_in_a_span_then_lead_there_and_otherwise_nowhere(
    traced_application: TestApplication,
) -> None:
    assert (trace_headers(), trace_id(), traceparent()) == ({}, "", "")
    with traced_application.inner.bound():
        assert (trace_headers(), trace_id()) == ({}, "")
        assert traced_application.inner.tracing is not None
        with traced_application.inner.tracing.request("GET", {b"traceparent": CALLER.encode(), b"tracestate": b"v=1"}):
            sent = trace_headers()
            assert (sent["traceparent"][:36], sent["tracestate"]) == (CALLER[:36], "v=1")
            assert (trace_id(), traceparent()) == (CALLER[3:35], sent["traceparent"])


async def test_log_lines_when_traced_then_name_the_trace_of_the_request_and_of_its_job(
    acme: Client, traced_application: TestApplication, json_lines: Any
) -> None:
    closed = await acme.delete("/api/v1/tenant?confirm=acme")
    await traced_application.run_jobs()
    trace = closed.headers["traceresponse"].split("-")[1]
    [request] = json_lines("host.web.requests")
    [run] = [line for line in json_lines("host.jobs.runs") if line["task"] == "host.purge"]
    assert (request["trace"], run["trace"]) == (trace, trace)


async def test_application_when_tracing_is_off_then_nothing_is_carried(application: TestApplication) -> None:
    assert application.inner.tracing is None
    async with application.client(traceparent=CALLER) as anonymous:
        body = {"email": "a@b.example", "password": "correct horse battery", "name": "A", "tenant_name": "Hooli"}
        answer = await anonymous.post("/api/v1/auth/register", json=body)
    assert "traceresponse" not in answer.headers
    with application.inner.bound():
        assert "traceparent" not in (await Job.get(task="host.tenant_created")).origin
        assert (trace_headers(), trace_id(), traceparent()) == ({}, "", "")


def test_application_when_built_with_the_shipped_settings_then_imports_neither_opentelemetry_nor_sentry() -> None:
    code = (
        "import sys; from host.app import Application; from host.settings import load;"
        "Application.build(load('config/settings.toml', {'TENANTRY_DATA__DIR': sys.argv[1]}, plugin_ids=None));"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk.trace', 'sentry_sdk'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "/tmp/never-made"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


async def test_start_when_the_packages_are_missing_then_stopped_with_the_remedy(
    app_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(ConfigurationError, match=r"tenantry\[tracing\]"):
        Application.build(switched_on(app_settings))


@pytest.mark.parametrize(
    ("sql", "name", "text"),
    [
        ('SELECT "a" FROM "jobs" WHERE "b"=$1 LIMIT 21', "SELECT jobs", 'SELECT "a" FROM "jobs" WHERE "b"=$1 LIMIT ?'),
        ("INSERT INTO t2 VALUES ('it''s', 1.5, ?2)", "INSERT t2", "INSERT INTO t2 VALUES (?, ?, ?2)"),
        ("BEGIN; SET LOCAL app.tenant_id = 'x-1'", "BEGIN", "BEGIN; SET LOCAL app.tenant_id = ?"),
        ('UPDATE "jobs" SET "state" = \'running\'', "UPDATE jobs", 'UPDATE "jobs" SET "state" = ?'),
        ("WITH bound AS (SELECT 1), row0 AS (INSERT INTO a SELECT bound.t FROM bound) SELECT 1", "INSERT a", None),
        ('WITH bound AS (SELECT 2) SELECT "x" FROM bound, "a" JOIN', "SELECT", None),
        ("", "SQL", ""),
    ],
)
def test_statement_when_described_then_holds_no_value(sql: str, name: str, text: str | None) -> None:
    assert _described(sql)[0] == name
    assert text is None or _described(sql)[2] == text


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """An OTLP collector over HTTP on this machine."""
    heard: list[ExportTraceServiceRequest] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


async def test_collector_when_named_then_gets_the_spans_at_the_latest_when_the_application_stops(
    app_settings: Settings, collector: tuple[str, list[ExportTraceServiceRequest]]
) -> None:
    address, heard = collector
    settings = switched_on(app_settings, exporter="otlp", endpoint=address, service="ours")
    async with TestApplication.open(settings) as opened, opened.client() as anonymous:
        await anonymous.get("/api/v1/health")
    resources = [each for one in heard for each in one.resource_spans]
    names = [span.name for each in resources for scope in each.scope_spans for span in scope.spans]
    assert "GET /api/v1/health" in names
    assert {(each.key, each.value.string_value) for each in resources[0].resource.attributes} >= {
        ("service.name", "ours")
    }


async def test_collector_when_away_then_the_application_serves_and_stops_in_time(app_settings: Settings) -> None:
    settings = switched_on(app_settings, exporter="otlp", endpoint="http://127.0.0.1:9")
    async with asyncio.timeout(60):
        async with TestApplication.open(settings) as opened, opened.client() as anonymous:
            assert (await anonymous.get("/api/v1/health")).status_code == 200
