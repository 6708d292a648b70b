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
    for declarations in declared:
        for subscription in declarations.listeners:
            heard = listeners.get(subscription.event, ())
            listeners[subscription.event] = (*heard, (declarations.plugin, subscription))
    return Catalog(
        routes=tuple((each.plugin, route) for each in declared for route in each.routes),
        models=_frozen({each.plugin: each.models for each in declared if each.models}),
        permissions=_frozen({item.name: item for each in declared for item in each.permissions}),
        permission_owner=_frozen({item.name: each.plugin for each in declared for item in each.permissions}),
        limits=_frozen({item.name: item for each in declared for item in each.limits}),
        limit_owner=_frozen({item.name: each.plugin for each in declared for item in each.limits}),
        tasks=_frozen({f"{each.plugin}.{item.name}": item for each in declared for item in each.tasks}),
        events=_frozen({f"{each.plugin}.{item.model.__name__}": item for each in declared for item in each.events}),
        listeners=_frozen(listeners),
        commands=tuple((each.plugin, item) for each in declared for item in each.commands),
        health_checks=tuple((each.plugin, item) for each in declared for item in each.health_checks),
        metrics=tuple((each.plugin, item) for each in declared for item in each.metrics),
        personal_data=tuple((each.plugin, item) for each in declared for item in each.personal_data),
        tenant_settings=_frozen({each.plugin: each.tenant_settings for each in declared if each.tenant_settings}),
    )


def _frozen(values: dict[str, T]) -> Mapping[str, T]:
    return MappingProxyType(values)
