"""What each plan allows, and the effective limit of a tenant: its override, its plan's limit, or the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tenants.limits import LimitText, LimitValue, parse_limit

EVERYTHING = "*"
Source = Literal["default", "plan", "tenant"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@pydantic_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Plan:
    """One plan. `price` is for a month, in units of `currency` (ISO 4217, lower case), not cents.

    features: plugin ids, or "*" for all of them. plugins: plugin id -> its own sub-table, as it stands in the file.
    """

    id: str
    title: Text = Field(default_factory=lambda data: data["id"].capitalize())
    price: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    currency: Annotated[str, StringConstraints(to_lower=True, min_length=1)] = "usd"
    features: tuple[str, ...] = (EVERYTHING,)
    limits: Mapping[str, LimitText] = field(default_factory=dict)
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def allows(self, plugin_id: str) -> bool:
        """Whether the plan includes the plugin."""
        return EVERYTHING in self.features or plugin_id in self.features


@dataclass(frozen=True, slots=True)
class Plans:
    """All plans of the deployment, in the order of the file, the smallest first."""

    path: str
    plans: tuple[Plan, ...]

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.plans)

    @property
    def ids(self) -> tuple[str, ...]:
        """The plans' ids in order."""
        return tuple(plan.id for plan in self.plans)

    def get(self, plan_id: str) -> Plan | None:
        """The plan, or None when the file does not have it (any more)."""
        return next((plan for plan in self.plans if plan.id == plan_id), None)

    def allows(self, plan_id: str, plugin_id: str) -> bool:
        """Whether the plan includes the plugin; a plan that is not in the file includes nothing."""
        plan = self.get(plan_id)
        return plan is not None and plan.allows(plugin_id)


def effective_limit(
    plans: Plans, plan_id: str, limit_name: str, default: str, override: str | None
) -> tuple[LimitValue, Source]:
    """A tenant's effective limit and its source: the tenant's override, else its plan, else the default.

    An unlimited value takes the period that the limit has elsewhere: in the tenant's plan, the default, or the first
    plan that has one.

    Raises:
        LimitError: the effective text is not a limit.
    """
    plan = plans.get(plan_id)
    planned = plan.limits.get(limit_name) if plan is not None else None
    source: Source = "tenant" if override is not None else "plan" if planned is not None else "default"
    value = parse_limit(override) if override is not None else planned or parse_limit(default)
    if not value.unlimited:
        return value, source
    others = (planned, parse_limit(default), *(other.limits.get(limit_name) for other in plans))
    period = next((other for other in others if other and other.period), value)
    return replace(period, amount=None), source
