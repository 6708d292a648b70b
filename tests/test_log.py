"""Tests of the log: one shape for every line, with who and where, and no secret in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
import structlog

from host.contracts import Actor, Origin, Task
from host.execution_context import acting, as_plugin
from host.log import REQUESTS, RUNS, about, configure, logger
from host.services import unit_of_work
from host.testing import TestApplication, TwoTenants
from tenants.context import bind

ACME = UUID(int=1)
ANNA = UUID(int=2)


@contextmanager
def configured(out: io.StringIO) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure("info", "json", out)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name in (REQUESTS, RUNS):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
        structlog.reset_defaults()


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    out = io.StringIO()
    with configured(out):
        yield out


def last(out: io.StringIO) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return found


def test_line_when_a_request_is_bound_then_names_request_tenant_user_and_plugin(lines: io.StringIO) -> None:
    here = Origin(request_id="r1", actor=Actor(kind="user", id=ANNA, label="anna@example.com"))
    with acting(here), bind(ACME), about(plugin="letters"):
        logger("host.x").info("letter sent", letter=7)
    line = last(lines)
    assert (line["request"], line["tenant"], line["user"]) == ("r1", str(ACME), str(ANNA))
    assert (line["plugin"], line["event"], line["letter"], line["level"]) == ("letters", "letter sent", 7, "info")
    assert "anna@example.com" not in lines.getvalue()


def test_line_when_a_key_or_a_job_acts_then_names_it_and_the_person_behind(lines: io.StringIO) -> None:
    for kind, name in (("api_key", "key"), ("job", "job")):
        here = Origin(request_id="r1", actor=Actor(kind=kind, id=ACME, label="x", user_id=ANNA))
        with acting(here), as_plugin("letters"):
            logger("host.x").info("letter sent")
        line = last(lines)
        assert (line[name], line["user"], line["plugin"], line["request"]) == (str(ACME), str(ANNA), "letters", "r1")


async def test_lines_when_a_request_and_its_job_run_then_each_names_request_tenant_person_and_plugin(
    application: TestApplication,
) -> None:
    async with TwoTenants.create(application) as both:
        out = io.StringIO()
        with configured(out):
            headers = {"X-Request-ID": "the-request"}
            made = await both.acme.ask("POST", "/projects", 201, json={"name": "Apollo"}, headers=headers)
            await both.acme.ask("POST", "/tenants", 201, json={"name": "Initech"}, headers=headers)
            await application.run_jobs()
    assert made["name"] == "Apollo"
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    request = next(line for line in found if line.get("operation") == "projects.projects.create")
    assert (request["request"], request["plugin"]) == ("the-request", "projects")
    assert (request["tenant"], request["user"]) == (str(both.acme.tenant_id), str(both.acme.user_id))
    run = next(line for line in found if line["logger"] == "host.jobs.runs")
    assert (run["event"], run["task"]) == ("host.tenant_created done", "host.tenant_created")
    assert (run["request"], run["user"], run["plugin"]) == ("the-request", str(both.acme.user_id), "host")
    assert {"tenant", "job", "attempt", "ms", "timestamp", "level"} <= run.keys()
    assert "owner@acme.example" not in out.getvalue()


async def test_lines_when_a_job_fails_then_the_runners_own_names_it_too(
    application: TestApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with TwoTenants.create(application) as both:

        async def broken() -> None:
            logging.getLogger("plugins.x").warning("about to")
            raise LookupError("gone")

        inner, out = application.inner, io.StringIO()
        tasks = {**inner.runner._tasks, "host.broken": Task("broken", broken, "for a test")}
        monkeypatch.setattr(inner.runner, "_tasks", tasks)
        with inner.bound(), bind(both.acme.tenant_id):
            async with unit_of_work() as work:
                job_id = await work.enqueue("host.broken")
        with configured(out):
            await application.run_jobs()
    for line in map(json.loads, out.getvalue().splitlines()):
        assert (line["job"], line["tenant"], line["plugin"]) == (str(job_id), str(both.acme.tenant_id), "host"), line
    events = [json.loads(line)["event"] for line in out.getvalue().splitlines()]
    assert events[:2] == ["about to", "host.broken failed"]
    assert events[2].endswith("failed at try 1")


def test_line_when_nothing_is_bound_then_says_nothing_of_it(lines: io.StringIO) -> None:
    logger("host.x").info("started")
    assert not {"request", "tenant", "user", "plugin"} & set(last(lines))


def test_line_when_a_library_writes_it_then_has_the_same_shape(lines: io.StringIO) -> None:
    with bind(ACME):
        logging.getLogger("library").warning("%d left", 3, extra={"kind": "disk"})
    line = last(lines)
    assert (line["event"], line["tenant"], line["kind"], line["logger"]) == ("3 left", str(ACME), "disk", "library")


def test_line_when_it_holds_a_secret_then_hides_it(lines: io.StringIO) -> None:
    logger("host.x").info("signing in", password="hush", api_key="hush", Authorization="Bearer hush")
    assert "hush" not in lines.getvalue()
    assert last(lines)["password"] == "•••"


def test_line_when_an_exception_is_logged_then_holds_the_trace(lines: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logger("host.x").exception("failed")
    assert "ValueError: broken" in last(lines)["exception"]


def test_level_when_info_then_debug_and_the_chatter_of_libraries_are_left_out(lines: io.StringIO) -> None:
    logger("host.x").debug("detail")
    logging.getLogger("saq").info("chatter")
    assert lines.getvalue() == ""


def test_console_when_chosen_then_is_for_people(lines: io.StringIO) -> None:
    out = io.StringIO()
    configure("info", "console", out)
    logger("host.x").info("letter sent", token="hush")
    assert "letter sent" in out.getvalue()
    assert "hush" not in out.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(out.getvalue())
