"""Call each plugin's `register_*` hooks once and check the types of what they return."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import click
from pydantic import BaseModel
from tortoise.models import Model

from host.contracts import EventType, HealthCheck, Limit, Metric, Permission, PersonalData, Route, Subscription, Task
from host.execution_context import as_plugin
from host.registry.guarded_call import guarded_call
from host.registry.loading import REGISTER_SECONDS, Implementation, Implementations

_log = logging.getLogger("host.registry.loading")


@dataclass(frozen=True, slots=True)
class Declarations:
    """What one plugin declares. `complete` is False when one of its hooks failed: what it declares is unknown."""

    plugin: str
    complete: bool = True
    routes: tuple[Route, ...] = ()
    models: tuple[type[Model], ...] = ()
    settings: type[BaseModel] | None = None
    tenant_settings: type[BaseModel] | None = None
    permissions: tuple[Permission, ...] = ()
    limits: tuple[Limit, ...] = ()
    tasks: tuple[Task, ...] = ()
    events: tuple[EventType, ...] = ()
    listeners: tuple[Subscription, ...] = ()
    commands: tuple[click.Command, ...] = ()
    health_checks: tuple[HealthCheck, ...] = ()
    metrics: tuple[Metric, ...] = ()
    personal_data: tuple[PersonalData, ...] = ()


_MANY: Mapping[str, type] = {
    "register_routes": Route,
    "register_permissions": Permission,
    "register_limits": Limit,
    "register_tasks": Task,
    "register_events": EventType,
    "register_listeners": Subscription,
    "register_commands": click.Command,
    "register_health_checks": HealthCheck,
    "register_metrics": Metric,
    "register_personal_data": PersonalData,
}
_CLASSES: Mapping[str, type] = {
    "register_models": Model,
    "register_settings": BaseModel,
    "register_tenant_settings": BaseModel,
}


def collect(
    plugin_id: str, implemented: Implementations, seconds: float = REGISTER_SECONDS
) -> tuple[Declarations, tuple[str, ...]]:
    """Call every `register_*` hook of one plugin.

    Returns:
        What it declares, and a reason for each hook that raised, exited, hung or gave something else than it should.
    """
    values: dict[str, Any] = {}
    reasons = []
    for hook in (*_MANY, *_CLASSES):
        for implementation in implemented.get(hook, ()):
            if implementation.plugin == plugin_id:
                value, reason = _ask(implementation, seconds)
                if reason:
                    reasons.append(reason)
                else:
                    values[hook.removeprefix("register_")] = value
    with_routes = dict.fromkeys(route.declares for route in values.get("routes", ()) if route.declares)
    values["permissions"] = (*values.get("permissions", ()), *with_routes)
    return Declarations(plugin=plugin_id, complete=not reasons, **values), tuple(reasons)


def _ask(implementation: Implementation, seconds: float) -> tuple[object, str]:
    with as_plugin(implementation.plugin):
        outcome = guarded_call(lambda: _checked(implementation.hook, implementation.call(())), seconds)
    if outcome.reason:
        _log.error("plugin %s: %s failed", implementation.plugin, implementation.hook, exc_info=outcome.error)
        return None, f"{implementation.hook}: {outcome.reason}"
    return outcome.value, ""


def _checked(hook: str, answer: object) -> object:
    """The answer as the hook's type: a tuple, or for settings one model."""
    if hook in _MANY:
        return _all(answer, hook, lambda item: isinstance(item, _MANY[hook]), f"a list of {_MANY[hook].__name__}")
    base = _CLASSES[hook]

    def is_class(item: object) -> bool:
        return isinstance(item, type) and issubclass(item, base) and item is not base

    if hook == "register_models":
        return _all(answer, hook, is_class, "a list of model classes")
    if not is_class(answer):
        raise TypeError(f"{hook} must return a pydantic model class, not {answer!r}")
    return answer


def _all(answer: object, hook: str, fits: Callable[[object], bool], expected: str) -> tuple[object, ...]:
    if isinstance(answer, Iterable) and not isinstance(answer, (str, bytes, Mapping)):
        items = tuple(answer)
        unfit = [item for item in items if not fits(item)]
        if not unfit:
            return items
        raise TypeError(f"{hook} must return {expected}; it holds {unfit[0]!r}")
    raise TypeError(f"{hook} must return {expected}, not {answer!r}")
