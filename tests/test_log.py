"""Tests of the log: one shape for every line, with who and where, and no secret in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import structlog

from host.contracts import Actor, Origin
from host.log import about, configure, logger
from host.origin import acting
from tenants.context import bind

ACME = UUID(int=1)
ANNA = UUID(int=2)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    configure("info", "json", out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


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
