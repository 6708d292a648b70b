"""Unexpected errors on their way to Sentry: an intake on this machine collects what really leaves the host."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import Context
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from host.app import Application
from host.contracts import Task
from host.errors import ConfigurationError, Unavailable
from host.jobs.outcomes import GiveUp
from host.log import configure, logger
from host.services import unit_of_work
from host.settings import Settings
from host.testing import TestApplication, TwoTenants
from tenants.context import bind

PEOPLE = ("owner@acme.example", "hush-hush", "127.0.0.1", "Browser/1.0", "Ada Lovelace")


class Intake:
    """What arrived: events, and the raw text of everything."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.raw = ""

    def take(self, body: bytes) -> None:
        text = body.decode()
        self.raw += text
        lines = [json.loads(line) for line in text.splitlines() if line]
        self.events += [event for head, event in zip(lines[1::2], lines[2::2], strict=True) if head["type"] == "event"]


@pytest.fixture
def intake() -> Iterator[tuple[str, Intake]]:
    arrived = Intake()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/api/7/envelope/"
            assert "sentry_key=public" in self.headers["x-sentry-auth"]
            body = self.rfile.read(int(self.headers["content-length"]))
            arrived.take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://public@127.0.0.1:{server.server_port}/7", arrived
    server.shutdown()
    thread.join()
    server.server_close()


def reporting(settings: Settings, dsn: str) -> Settings:
    return settings.model_copy(update={"sentry": settings.sentry.model_copy(update={"dsn": SecretStr(dsn)})})


@pytest.fixture
async def watched(app_settings: Settings, intake: tuple[str, Intake]) -> AsyncIterator[TwoTenants]:
    async with TestApplication.open(reporting(app_settings, intake[0])) as opened, TwoTenants.create(opened) as both:
        yield both


@pytest.fixture
def arrived(watched: TwoTenants, intake: tuple[str, Intake]) -> Any:
    """Call it for the events that have arrived."""

    def look() -> list[dict[str, Any]]:
        assert watched.application.inner.error_reporting is not None
        watched.application.inner.error_reporting.client.flush(timeout=10.0)
        return intake[1].events

    return look


async def test_request_when_it_fails_unexpectedly_then_reported_with_where_and_without_whom(
    watched: TwoTenants, intake: tuple[str, Intake], arrived: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        card = "hush-hush"
        raise LookupError(f"no card '{card}' of owner@acme.example at https://pay.example.com/{card}\nAda Lovelace")

    monkeypatch.setattr("plugins.projects.service.spend", broken)
    headers = {"User-Agent": "Browser/1.0", "X-Request-ID": "the-request"}
    await watched.acme.ask("POST", "/projects", 500, json={"name": "Ada Lovelace"}, headers=headers)
    [event] = arrived()
    assert event["tags"] == {"request": "the-request", "tenant": str(watched.acme.tenant_id), "plugin": "projects"}
    [one] = event["exception"]["values"]
    assert (one["type"], one["value"]) == ("LookupError", "no card ••• of ••• at https://pay.example.com/•••")
    frames = one["stacktrace"]["frames"]
    assert frames[-1]["function"] == "broken"
    assert not any("vars" in frame for frame in frames)
    assert (event["level"], event["logger"], event["environment"]) == ("error", "host.web", "development")
    assert {"user", "request", "breadcrumbs", "extra", "modules", "server_name"} & event.keys() == set()
    told = json.dumps({**event, "exception": [{**one, "stacktrace": None}]})
    assert not [person for person in PEOPLE if person in told]


async def test_job_when_it_fails_unexpectedly_then_reported_with_its_tenant_plugin_and_request(
    watched: TwoTenants, arrived: Any
) -> None:
    async def send(secret: str) -> None:
        if secret == "hush-hush":
            raise LookupError("nobody there")
        raise GiveUp("as it may") if secret == "give up" else Unavailable("the mail server is away")

    application = watched.application.inner
    application.runner._tasks = {**application.runner._tasks, "mail.send": Task("send", send, "for a test", tries=1)}
    application.callbacks.may_run = _always  # type: ignore[method-assign]
    application.runner._may_run = _always
    with application.bound(), bind(watched.acme.tenant_id):
        async with unit_of_work() as work:
            for secret in ("hush-hush", "give up", "away"):
                job_id = await work.enqueue("mail.send", secret=secret)
    assert job_id
    await watched.application.run_jobs()
    [event] = arrived()
    assert event["exception"]["values"][-1]["type"] == "LookupError"
    tags = event["tags"]
    assert (tags["tenant"], tags["plugin"], tags["task"]) == (str(watched.acme.tenant_id), "mail", "mail.send")
    assert tags["job"]
    assert "hush-hush" not in json.dumps(event["tags"])


async def _always(*_: object) -> Any:
    from host.contracts import Decision

    return Decision(True, "for a test")


async def test_refusals_when_expected_then_are_not_reported(watched: TwoTenants, arrived: Any) -> None:
    await watched.acme_viewer.ask("POST", "/projects", 403, json={"name": "x"})
    await watched.acme.ask("POST", "/projects", 422, json={})
    await watched.acme.ask("GET", "/nothing", 404)
    assert arrived() == []


async def test_line_when_logged_by_a_plugin_or_by_structlog_then_reported_too_but_not_from_elsewhere(
    watched: TwoTenants, arrived: Any
) -> None:
    def fail(log: Any) -> None:
        try:
            raise LookupError("gone")
        except LookupError:
            log.exception("it failed")

    Context().run(fail, logging.getLogger("somebody.else"))  # nothing is bound: another application's, or nobody's
    fail(logging.getLogger("plugins.x"))
    logging.getLogger("plugins.x").error("no exception, no report")
    root, known = logging.getLogger(), watched.application.inner.error_reporting
    assert known is not None
    handlers, level = list(root.handlers), root.level
    try:
        configure("info", "json", io.StringIO())
        with known.listening():
            fail(logger("plugins.y"))
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    assert [event["logger"] for event in arrived()] == ["plugins.x", "plugins.y"]


async def test_application_when_stopped_then_hears_no_more(app_settings: Settings, intake: tuple[str, Intake]) -> None:
    before = list(logging.getLogger().handlers)
    async with TestApplication.open(reporting(app_settings, intake[0])):
        assert len(logging.getLogger().handlers) == len(before) + 1
    assert logging.getLogger().handlers == before


async def test_start_when_the_package_is_missing_or_the_dsn_is_none_then_stopped_with_the_remedy(
    app_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="TENANTRY_SENTRY__DSN"):
        Application.build(reporting(app_settings, "not a dsn"))
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(ConfigurationError, match=r"tenantry\[sentry\]"):
        Application.build(reporting(app_settings, "http://public@127.0.0.1:9/7"))
