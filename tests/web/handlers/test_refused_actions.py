"""Plugins are told of refused actions; where that fails, the refusal stays and one log line says why."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import pytest

from host.contracts import Actor, Origin, Route
from host.errors import NotFound, PermissionDenied, Unavailable
from host.execution_context import NOBODY, ExecutionContext, use_context
from host.web.handlers import refused_actions
from host.web.handlers.refused_actions import record_refused_action


async def handler() -> None:
    raise NotImplementedError


ROUTE = Route("POST", "/things", handler, "things.create", "Make", permission="alpha.things.create")


async def told(monkeypatch: pytest.MonkeyPatch, error: Exception, failure: Exception) -> None:
    async def failing(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(refused_actions, "record_failure", failing)
    origin = Origin("r-1", Actor("user", uuid4()))
    with use_context(ExecutionContext(origin, None, NOBODY, "alpha")):
        await record_refused_action(ROUTE, "alpha", error, {})


@pytest.mark.parametrize("failure", [Unavailable("The database is away."), ConnectionResetError("gone")])
async def test_refusal_when_the_database_is_away_then_one_line_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    await told(monkeypatch, PermissionDenied(), failure)
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert "could not be recorded" in record.getMessage()


async def test_refusal_when_it_is_that_the_database_is_away_then_its_own_line_is_enough(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await told(monkeypatch, Unavailable("The database is away."), Unavailable("The database is away."))
    assert not caplog.records


async def test_refusal_when_recording_it_is_at_fault_then_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await told(monkeypatch, NotFound(), ValueError("a mistake"))
    assert caplog.records[0].exc_info is not None
