"""Hook implementations of the projects plugin."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from host.sdk import (
    EventType,
    Limit,
    Permission,
    PersonalData,
    Route,
    Subscription,
    Task,
    TenantInfo,
    TenantModel,
    hookimpl,
)

from . import erasure, events, models, routes, service, settings, tasks


@hookimpl
def register_routes() -> Sequence[Route]:
    return tuple(routes.routes)


@hookimpl
def register_models() -> Sequence[type[TenantModel]]:
    return (models.Project, models.ProjectMember, models.Task)


@hookimpl
def register_tenant_settings() -> type[BaseModel]:
    return settings.TenantSettings


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return routes.PERMISSIONS


@hookimpl
def register_limits() -> Sequence[Limit]:
    return service.LIMITS


@hookimpl
def register_tasks() -> Sequence[Task]:
    return tasks.TASKS


@hookimpl
def register_listeners() -> Sequence[Subscription]:
    return (Subscription("host.MemberLeft", tasks.when_member_left),)


@hookimpl
async def on_activated(tenant: TenantInfo) -> None:
    await service.release_people_who_left()


@hookimpl
def register_personal_data() -> Sequence[PersonalData]:
    return erasure.PERSONAL_DATA


@hookimpl
def register_events() -> Sequence[EventType]:
    return events.EVENTS
