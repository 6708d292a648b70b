"""The catalogue of everything that the host and its plugins declare: routes, models, tasks, limits and more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel
from tortoise.models import Model

from host.contracts import (
    Command,
    EventType,
    HealthCheck,
    Limit,
    Metric,
    Permission,
    PersonalData,
    Route,
    Subscription,
    Task,
)
from host.registry.declarations import Declarations

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is declared, with its owner's plugin id; the host's own things belong to "host". Load order throughout.

    tasks: by "<plugin>.<task>". events: by "<plugin>.<ClassName>". listeners: by event. Permissions and limits: by
    their full name, owners in `permission_owner` and `limit_owner`.
    """

    routes: tuple[tuple[str, Route], ...]
    models: Mapping[str, tuple[type[Model], ...]]
    permissions: Mapping[str, Permission]
    permission_owner: Mapping[str, str]
    limits: Mapping[str, Limit]
    limit_owner: Mapping[str, str]
    tasks: Mapping[str, Task]
    events: Mapping[str, EventType]
    listeners: Mapping[str, tuple[tuple[str, Subscription], ...]]
    commands: tuple[tuple[str, Command], ...]
    health_checks: tuple[tuple[str, HealthCheck], ...]
    metrics: tuple[tuple[str, Metric], ...]
    personal_data: tuple[tuple[str, PersonalData], ...]
    tenant_settings: Mapping[str, type[BaseModel]]

    @property
    def role_permissions(self) -> Mapping[str, frozenset[str]]:
        """What is given to each built-in role, by the role's name."""
        declared = self.permissions.values()
        names = {role for permission in declared for role in permission.roles}
        return {
            name: frozenset(permission.name for permission in declared if name in permission.roles) for name in names
        }


def build_catalog(declared: Sequence[Declarations]) -> Catalog:
    """One table out of checked declarations, given in load order."""
    listeners: dict[str, tuple[tuple[str, Subscription], ...]] = {}
    for one in declared:
        for heard in one.listeners:
            listeners[heard.event] = (*listeners.get(heard.event, ()), (one.plugin, heard))
    return Catalog(
        routes=tuple((one.plugin, route) for one in declared for route in one.routes),
        models=_frozen({one.plugin: one.models for one in declared if one.models}),
        permissions=_frozen({item.name: item for one in declared for item in one.permissions}),
        permission_owner=_frozen({item.name: one.plugin for one in declared for item in one.permissions}),
        limits=_frozen({item.name: item for one in declared for item in one.limits}),
        limit_owner=_frozen({item.name: one.plugin for one in declared for item in one.limits}),
        tasks=_frozen({f"{one.plugin}.{item.name}": item for one in declared for item in one.tasks}),
        events=_frozen({f"{one.plugin}.{item.model.__name__}": item for one in declared for item in one.events}),
        listeners=_frozen(listeners),
        commands=tuple((one.plugin, item) for one in declared for item in one.commands),
        health_checks=tuple((one.plugin, item) for one in declared for item in one.health_checks),
        metrics=tuple((one.plugin, item) for one in declared for item in one.metrics),
        personal_data=tuple((one.plugin, item) for one in declared for item in one.personal_data),
        tenant_settings=_frozen({one.plugin: one.tenant_settings for one in declared if one.tenant_settings}),
    )


def _frozen(values: dict[str, T]) -> Mapping[str, T]:
    return MappingProxyType(values)
