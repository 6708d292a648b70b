"""SQL that sets the bound tenant in PostgreSQL for the current transaction only."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from tenants.context import current_or_none, is_across

Bound = UUID | str | None
"""What is bound: a tenant's id, "across" for every tenant, or None."""


SYSTEM = "app.system"
"""The setting on every host connection that allows reading deployment-wide tables with no tenant bound."""


def bound_now() -> Bound:
    """What is bound in the current task."""
    return current_or_none() or ("across" if is_across() else None)


def settings(bound: Bound) -> str:
    """SQL that sets the bound tenant; safe unquoted, because a UUID's text holds only hex digits and hyphens."""
    if bound is None:
        return ""
    return "; SET LOCAL app.across = 'on'" if bound == "across" else f"; SET LOCAL app.tenant_id = '{bound}'"


def local(values: Mapping[str, str]) -> str:
    """SQL that sets these settings for the current transaction only."""
    quoted = {name: value.replace("'", "''") for name, value in values.items()}
    return "".join(f"; SET LOCAL {name} = '{value}'" for name, value in quoted.items())


def switch(bound: Bound) -> str:
    """SQL that changes the bound tenant, or sets none, in an open transaction."""
    tenant = bound if isinstance(bound, UUID) else ""
    across = "on" if bound == "across" else ""
    return f"SET LOCAL app.tenant_id = '{tenant}'; SET LOCAL app.across = '{across}'"
