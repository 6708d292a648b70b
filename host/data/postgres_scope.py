"""SQL that sets the bound tenant in PostgreSQL for the current transaction only."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from tenants.context import current_or_none, is_across

Bound = UUID | str | None
"""What the database has been told: a tenant's id, "across", or None."""


SYSTEM = "app.system"
"""Set on every connection of the host's own: with no tenant bound, tables of the whole deployment may be read."""


def bound_now() -> Bound:
    """Who is bound in the current task."""
    return current_or_none() or ("across" if is_across() else None)


def settings(bound: Bound) -> str:
    """SQL that tells the database who is bound; a UUID's text cannot carry anything but hex and dashes."""
    if bound is None:
        return ""
    return "; SET LOCAL app.across = 'on'" if bound == "across" else f"; SET LOCAL app.tenant_id = '{bound}'"


def local(values: Mapping[str, str]) -> str:
    """SQL that sets these for the current transaction only."""
    quoted = {name: value.replace("'", "''") for name, value in values.items()}
    return "".join(f"; SET LOCAL {name} = '{value}'" for name, value in quoted.items())


def switch(bound: Bound) -> str:
    """SQL that tells an open transaction of another tenant, or of none."""
    tenant = bound if isinstance(bound, UUID) else ""
    across = "on" if bound == "across" else ""
    return f"SET LOCAL app.tenant_id = '{tenant}'; SET LOCAL app.across = '{across}'"
