"""Validate the sub-tables of plans.toml that belong to plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from host.input_errors import configuration_messages, nearest
from host.registry.declarations import Declarations
from host.registry.kinds import PLAN_SETTINGS
from host.registry.manifest import HOST
from host.settings.files import as_json, place
from tenants.plans import Plan, Plans

PlanSettings = Mapping[tuple[str, str], BaseModel]
"""(plugin id, plan id) -> what the plan says for that plugin, defaults filled in."""


def read_plan_settings(
    plans: Plans, declared: Sequence[Declarations], unused: frozenset[str]
) -> tuple[PlanSettings, list[str]]:
    """Every plugin's settings in every plan, and what is wrong, each complaint with file, key and remedy.

    unused: plugins that have a table and are not loaded here.
    """
    values: dict[tuple[str, str], BaseModel] = {}
    by_id = {declarations.plugin: declarations for declarations in declared if declarations.plugin != HOST}
    messages = []
    for plan in plans:
        for plugin in sorted(plan.plugins.keys() - unused):
            if wrong := _nobodys(plugin, by_id):
                messages.append(f"{place(plans.path, (plan.id, plugin))}: {wrong}")
        for plugin, declarations in by_id.items():
            for model in declarations.of(PLAN_SETTINGS):
                table = plan.plugins.get(plugin, {})
                try:
                    values[plugin, plan.id] = TypeAdapter(model).validate_json(as_json(table), strict=True)
                except ValidationError as error:
                    messages += _complaints(error, table, model, plans.path, (plan.id, plugin))
    return values, messages


def _nobodys(plugin: str, by_id: Mapping[str, Declarations]) -> str:
    """What is wrong with a plan's table of that name, whatever is in it; empty where a plugin reads it, or might."""
    declarations = by_id.get(plugin)
    if declarations is None:
        known = {*by_id, *(field.name for field in fields(Plan))} - {"id", "plugins"}
        return f"there is no such key, and no plugin of that name{nearest(plugin, known)}"
    if declarations.of(PLAN_SETTINGS) or not declarations.complete:
        return ""
    return f'plugin "{plugin}" has no settings in plans (no register_plan_settings); remove this'


def _complaints(
    error: ValidationError, table: Mapping[str, Any], model: type[BaseModel], path: str, where: tuple[str, str]
) -> list[str]:
    messages = configuration_messages(error, dict(table), model)
    return [f"{place(path, (*where, *inner))}: {message}" for inner, message in messages.items()]
