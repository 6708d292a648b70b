"""Refusals: what a known person or program was denied, or failed to do, is told to plugins, as what is done is."""

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
"""Understood and not done. What could not even be understood (400, 415, 422) or came too often was no action yet."""

_log = logging.getLogger("host.web")


async def tell_refused_action(route: Route, plugin: str, error: Exception, path: Mapping[str, object]) -> None:
    """Tell plugins that a request was denied, or that a change failed; in a transaction of its own.

    Whoever is not known has no log to be in: sign-ins, which are open to anonymous callers, record their failures
    themselves.
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
    except Exception as failure:  # the refusal itself must reach whoever asked
        if not isinstance(understood(failure), Unavailable):
            _log.exception("a refusal could not be recorded")
        elif not isinstance(understood(error), Unavailable):  # else its answer's line says what is away
            _log.warning("a refusal could not be recorded: %s", failure)


def _outcome(route: Route, error: Exception) -> Literal["denied", "failed"] | None:
    if isinstance(error, _DENIED):
        return "denied"
    if route.method == "GET":
        return None
    unexpected = not isinstance(error, ApiError) or error.status >= 500
    return "failed" if unexpected or isinstance(error, _FAILED) else None
