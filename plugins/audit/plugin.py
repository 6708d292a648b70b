"""Hook implementations of the audit plugin."""

from __future__ import annotations

from collections.abc import Sequence

import click
from pydantic import BaseModel

from host.sdk import Action, Limit, Metric, Permission, PersonalData, Route, Task, TenantModel, hookimpl

from . import commands, erasure, models, retention, routes, sealing, service, settings, tasks


@hookimpl
def register_routes() -> Sequence[Route]:
    return tuple(routes.routes)


@hookimpl
def register_models() -> Sequence[type[TenantModel]]:
    return (models.Entry, models.Chain)


@hookimpl
def register_settings() -> type[BaseModel]:
    return settings.Settings


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return routes.PERMISSIONS


@hookimpl
def register_limits() -> Sequence[Limit]:
    return (retention.RETENTION,)


@hookimpl
def register_tasks() -> Sequence[Task]:
    return tasks.TASKS


@hookimpl
def register_metrics() -> Sequence[Metric]:
    return (sealing.FAULTS,)


@hookimpl
def register_personal_data() -> Sequence[PersonalData]:
    return erasure.PERSONAL_DATA


@hookimpl
def register_commands() -> Sequence[click.Command]:
    return commands.COMMANDS


@hookimpl
async def on_action(action: Action) -> None:
    await service.write(action)
