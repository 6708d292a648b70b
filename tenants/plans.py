"""Load the plans file, and compute a tenant's features and limits from default, plan and override."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from tenants.limits import LimitError, LimitValue, parse_limit, window

__all__ = ["LimitError", "LimitValue", "Plan", "PlanError", "Plans", "effective_limit", "parse_limit", "window"]

EVERYTHING = "*"
_KEYS = ("title", "price", "currency", "features", "limits", "stripe_price_ids")
_EMPTY: Mapping[str, str] = MappingProxyType({})
Source = Literal["default", "plan", "tenant"]


class PlanError(ValueError):
    """The plans file is broken; the message names file, key and remedy."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan. `price` is for a month, in units of `currency` (ISO 4217, lower case), not cents.

    features: plugin ids, or "*" for all of them. limits: limit name -> text as `parse_limit` reads it.
    """

    id: str
    title: str
    price: Decimal = Decimal(0)
    currency: str = "usd"
    features: tuple[str, ...] = (EVERYTHING,)
    limits: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    stripe_price_ids: tuple[str, ...] = ()

    def allows(self, plugin_id: str) -> bool:
        """Whether the plan includes the plugin."""
        return EVERYTHING in self.features or plugin_id in self.features


@dataclass(frozen=True, slots=True)
class Plans:
    """All plans of the deployment, in the order of the file, the smallest first."""

    path: str
    plans: tuple[Plan, ...]

    @classmethod
    def load(cls, path: str | Path) -> Plans:
        """Read a TOML file of plans.

        Raises:
            PlanError: it is missing or broken.
        """
        try:
            with Path(path).open("rb") as file:
                tables = tomllib.load(file, parse_float=Decimal)
        except FileNotFoundError:
            raise PlanError(f"{path}: there is no such file; give every plan a table in it") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PlanError(f"{path}: not readable as TOML: {error}") from error
        if not tables:
            raise PlanError(f"{path}: there is no plan in it; add one, such as [free]")
        return cls(str(path), tuple(_plan(str(path), name, table) for name, table in tables.items()))

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

    def check(self, limit_names: Collection[str], plugin_ids: Collection[str]) -> list[str]:
        """Messages about limits that no plugin declares and features that no plugin provides."""
        complaints = []
        for plan in self.plans:
            for name in plan.limits:
                if name not in limit_names:
                    at = f"{self.path}: [{plan.id}.limits] {name!r}"
                    complaints.append(f"{at}: no plugin declares this limit{_nearest(name, limit_names)}")
            for name in plan.features:
                if name != EVERYTHING and name not in plugin_ids:
                    at = f"{self.path}: [{plan.id}] features {name!r}"
                    complaints.append(f"{at}: no plugin provides this feature{_nearest(name, plugin_ids)}")
        return complaints


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
    value = parse_limit(next(text for text in (override, planned, default) if text is not None))
    if not value.unlimited:
        return value, source
    others = (
        parse_limit(text) for text in (planned, default, *(each.limits.get(limit_name) for each in plans)) if text
    )
    period = next((other for other in others if other.period), value)
    return replace(period, amount=None), source


def _nearest(name: str, names: Collection[str]) -> str:
    matches = get_close_matches(name, sorted(names), n=1, cutoff=0.5)
    if matches:
        return f"; did you mean {matches[0]!r}?"
    return f"; known: {', '.join(sorted(names))}" if names else "; none is known"


def _plan(path: str, plan_id: str, table: object) -> Plan:
    if not isinstance(table, dict):
        raise PlanError(f"{path}: {plan_id}: write a table [{plan_id}] here, every key belongs to a plan")
    for key in table:
        if key not in _KEYS:
            raise PlanError(f"{path}: [{plan_id}] {key}: unknown key{_nearest(key, _KEYS)}")
    at = f"{path}: [{plan_id}]"
    return Plan(
        id=plan_id,
        title=_text(at, table, "title", plan_id.capitalize()),
        price=_price(at, table.get("price", 0)),
        currency=_text(at, table, "currency", "usd").lower(),
        features=_names(at, table, "features", (EVERYTHING,)),
        limits=_limits(f"{path}: [{plan_id}.limits]", table.get("limits", {})),
        stripe_price_ids=_names(at, table, "stripe_price_ids", ()),
    )


def _text(at: str, table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise PlanError(f"{at} {key}: write a text, not {value!r}")
    return value


def _price(at: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value < 0:
        raise PlanError(f"{at} price: write a number that is not negative, not {value!r}")
    return Decimal(value)


def _names(at: str, table: Mapping[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = table.get(key, list(default))
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise PlanError(f"{at} {key}: write a list of texts, not {value!r}")
    return tuple(value)


def _limits(at: str, table: object) -> Mapping[str, str]:
    if not isinstance(table, dict):
        raise PlanError(f"{at}: write a table of limits, not {table!r}")
    limits = {}
    for name, value in table.items():
        try:
            limits[name] = str(parse_limit(str(value)))
        except LimitError as error:
            remedy = f'; put the name in quotes: "{name}.…"' if isinstance(value, dict) else ""
            raise PlanError(f"{at} {name}: {error}{remedy}") from error
    return MappingProxyType(limits)
