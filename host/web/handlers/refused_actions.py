"""Report denied and failed actions of authenticated callers to plugins, such as the audit log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

from host.contracts import Route
from host.errors import (
    ApiError,
    Conflict,
    NotFound,
    PermissionDenied,
    PlanRequired,
    PluginDisabled,
    PreconditionFailed,
    QuotaExceeded,
    TenantSuspended,
    Unavailable,
)
from host.execution_context import actor
from host.redaction import HIDDEN, is_secret
from host.services import record_failure
from host.web.responses.errors import understood

_DENIED = (PermissionDenied, TenantSuspended, PlanRequired, PluginDisabled)
_FAILED = (NotFound, Conflict, PreconditionFailed, QuotaExceeded)
"""Valid requests that were not carried out. Invalid ones (400, 415, 422) and too frequent ones (429) do not count."""

_log = logging.getLogger("host.web")


async def record_refused_action(route: Route, plugin: str, error: Exception, path: Mapping[str, object]) -> None:
    """Tell plugins that a request was denied, or that a change failed; in a transaction of its own.

    Anonymous callers belong to nobody's records and are left out; the sign-in endpoints, which are open to them, record
    failures themselves.
    """
    outcome = _outcome(route, error)
    if outcome is None or route.public or actor().kind == "anonymous":
        return
    name, value = ([("", ""), *path.items()])[-1]
    reason = error.message if isinstance(error, ApiError) else "an unexpected error"
    try:
        await record_failure(
            route.permission or f"{plugin}.{route.name}",
            reason,
            outcome=outcome,
            resource_type=name.removesuffix("_id"),
            resource_id=HIDDEN if is_secret(name) else str(value),
        )
    except Exception as failure:  # the refusal itself must reach the caller
        if not isinstance(understood(failure), Unavailable):
            _log.exception("a refusal could not be recorded")
        elif not isinstance(
            understood(error), Unavailable
        ):  # else the answer's own log line names the unavailable service
            _log.warning("a refusal could not be recorded: %s", failure)


def _outcome(route: Route, error: Exception) -> Literal["denied", "failed"] | None:
    if isinstance(error, _DENIED):
        return "denied"
    if route.method == "GET":
        return None
    unexpected = not isinstance(error, ApiError) or error.status >= 500
    return "failed" if unexpected or isinstance(error, _FAILED) else None
