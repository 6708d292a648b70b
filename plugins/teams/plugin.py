"""Hook implementations of the teams plugin."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from host.sdk import (
    Action,
    EventType,
    Grant,
    Limit,
    Permission,
    PersonalData,
    Route,
    Task,
    TenantInfo,
    TenantModel,
    hookimpl,
)

from . import erasure, events, models, people, rights, routes, service, tasks


@hookimpl
def register_routes() -> Sequence[Route]:
    return tuple(routes.routes)


@hookimpl
def register_models() -> Sequence[type[TenantModel]]:
    return (models.Team, models.TeamMember, models.TeamClosure)


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
def register_events() -> Sequence[EventType]:
    return events.EVENTS


@hookimpl
def register_personal_data() -> Sequence[PersonalData]:
    return erasure.PERSONAL_DATA


@hookimpl
async def contribute_principals(user_id: UUID) -> Collection[str]:
    return await rights.principals_of(user_id)


@hookimpl
async def contribute_grants(user_id: UUID) -> Sequence[Grant]:
    return await rights.grants_of(user_id)


@hookimpl
async def resolve_principals(principals: Collection[str]) -> Collection[UUID]:
    return await rights.people_of(principals)


@hookimpl
async def describe_principals(principals: Collection[str]) -> Mapping[str, str]:
    return await rights.names_of(principals)


@hookimpl
async def on_action(action: Action) -> None:
    if action.outcome == "succeeded" and action.name == "tenant.members.delete":
        await people.release_person(UUID(action.resource_id))
    elif action.outcome == "succeeded" and action.name == "tenant.roles.delete":
        await service.forget_role(UUID(action.resource_id))


@hookimpl
async def on_activated(tenant: TenantInfo) -> None:
    await people.release_people_who_left()
