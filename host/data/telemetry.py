"""Wrap one SQL statement in a trace span and record its duration."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from host.execution_context import plugin
from host.instruments import timed
from host.tracing import statement

T = TypeVar("T")


def observed(sql: str, system: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Await one SQL statement in a trace span, and record its duration for the plugin whose code runs."""
    return timed("tenantry_database_duration_seconds", (plugin(),), statement(sql, system, work))
