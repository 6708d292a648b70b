"""The table of what a plugin may declare: one line for each `register_*` hook, which everything else follows.

A new kind is its dataclass in host/contracts.py, its hook in host/hookspecs.py and its line here. With that it is
collected, checked, reported when two declare the same, and in the catalogue, which `Catalog.all(KIND)` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel
from tortoise.models import Model

from host.contracts import (
    Command,
    Contribution,
    EventType,
    ExtensionPoint,
    HealthCheck,
    Limit,
    LiveChannel,
    MessageTemplate,
    Metric,
    Permission,
    PersonalData,
    PlanSource,
    Route,
    Subscription,
    Task,
)
from host.registry import checks, extension_points, message_templates
from host.registry.checks import Scope

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unique(Generic[T]):
    """A name that only one item may have. what: its word in messages. name: made of the plugin's id and the item."""

    what: str
    name: Callable[[str, T], str]
    remedy: str = "rename one of them"


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What one `register_*` hook declares.

    type: what the hook returns a list of, as `returns` says: items of that type, subclasses of it, or one subclass
    instead of a list. unique: the names that may not appear twice; by the first one the catalogue finds an item.
    check: a complaint for each item of one plugin that is wrong in itself or names what nobody declares.
    """

    hook: str
    type: type
    unique: tuple[Unique[T], ...] = ()
    check: Callable[[Sequence[T], Scope], Iterator[str]] = lambda items, scope: iter(())
    returns: Literal["items", "classes", "class"] = "items"

    def fits(self, item: object) -> bool:
        """Whether this is one of what the hook declares."""
        if self.returns == "items":
            return isinstance(item, self.type)
        return isinstance(item, type) and issubclass(item, self.type) and item is not self.type

    @property
    def expected(self) -> str:
        """What the hook must return, for messages."""
        if self.returns == "class":
            return "a pydantic model class"
        return "a list of model classes" if self.returns == "classes" else f"a list of {self.type.__name__}"


def _name(plugin: str, item: Permission | Limit | LiveChannel | Metric | ExtensionPoint[Any]) -> str:
    return item.name


def _own_name(plugin: str, item: Route | Task | HealthCheck | PersonalData | MessageTemplate) -> str:
    return f"{plugin}.{item.name}"


def _class_path(plugin: str, model: type) -> str:
    return f"{model.__module__}.{model.__qualname__}"


ROUTES: Kind[Route] = Kind(
    "register_routes",
    Route,
    (
        Unique("route name", _own_name),
        Unique("route", lambda plugin, route: checks.route_shape(route), "change path or method of one"),
    ),
    checks.routes,
)
MODELS: Kind[type[Model]] = Kind(
    "register_models",
    Model,
    (
        Unique("model", lambda plugin, model: f"{plugin}.{model.__name__}", "rename one class"),
        Unique("table", lambda plugin, model: model._meta.db_table, "change Meta.table of one model"),
    ),
    checks.models,
    "classes",
)
_SETTINGS_MODEL: Unique[type[BaseModel]] = Unique("settings model", _class_path, "give each its own class")
SETTINGS: Kind[type[BaseModel]] = Kind("register_settings", BaseModel, (_SETTINGS_MODEL,), returns="class")
TENANT_SETTINGS: Kind[type[BaseModel]] = Kind(
    "register_tenant_settings", BaseModel, (_SETTINGS_MODEL,), returns="class"
)
PERMISSIONS: Kind[Permission] = Kind(
    "register_permissions", Permission, (Unique("permission", _name),), checks.permissions
)
LIMITS: Kind[Limit] = Kind("register_limits", Limit, (Unique("limit", _name),), checks.limits)
_PLAN_SOURCE: Unique[PlanSource] = Unique(
    "plan source", lambda plugin, item: "of organisations", "only one may choose their plans, so take the other out"
)
PLAN_SOURCE: Kind[PlanSource] = Kind("register_plan_source", PlanSource, (_PLAN_SOURCE,))
PLAN_SETTINGS: Kind[type[BaseModel]] = Kind("register_plan_settings", BaseModel, (_SETTINGS_MODEL,), returns="class")
TASKS: Kind[Task] = Kind("register_tasks", Task, (Unique("task", _own_name),), checks.tasks)
_EVENT: Unique[EventType] = Unique("event", lambda plugin, item: f"{plugin}.{item.model.__name__}", "rename one class")
EVENTS: Kind[EventType] = Kind("register_events", EventType, (_EVENT,))
LISTENERS: Kind[Subscription] = Kind("register_listeners", Subscription, check=checks.listeners)
MESSAGE_TEMPLATES: Kind[MessageTemplate] = Kind(
    "register_message_templates",
    MessageTemplate,
    (Unique("message template", _own_name, "rename one of the folders"),),
    message_templates.complaints,
)
_COMMAND: Unique[Command] = Unique("command", lambda plugin, item: f"{plugin} {item.name}")
COMMANDS: Kind[Command] = Kind("register_commands", Command, (_COMMAND,))
_HEALTH_CHECK: Unique[HealthCheck] = Unique("health check", _own_name)
HEALTH_CHECKS: Kind[HealthCheck] = Kind("register_health_checks", HealthCheck, (_HEALTH_CHECK,), checks.health_checks)
METRICS: Kind[Metric] = Kind("register_metrics", Metric, (Unique("metric", _name),), checks.metrics)
LIVE_CHANNELS: Kind[LiveChannel] = Kind(
    "register_live_channels", LiveChannel, (Unique("live channel", _name),), checks.live_channels
)
PERSONAL_DATA: Kind[PersonalData] = Kind("register_personal_data", PersonalData, (Unique("personal data", _own_name),))
EXTENSION_POINTS: Kind[ExtensionPoint[Any]] = Kind(
    "register_extension_points", ExtensionPoint, (Unique("extension point", _name),), extension_points.points
)
CONTRIBUTIONS: Kind[Contribution] = Kind("register_contributions", Contribution, check=extension_points.contributions)

KINDS: tuple[Kind[Any], ...] = tuple(line for line in tuple(vars().values()) if isinstance(line, Kind))
"""Every line of the table above, in its order."""
