"""Hook implementations of the metrics plugin."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from host.sdk import Permission, Route, Task, TenantModel, hookimpl

from . import models, routes, settings, tasks


@hookimpl
def register_routes() -> Sequence[Route]:
    return tuple(routes.routes)


@hookimpl
def register_models() -> Sequence[type[TenantModel]]:
    return (models.DailyUse,)


@hookimpl
def register_settings() -> type[BaseModel]:
    return settings.Settings


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return routes.PERMISSIONS


@hookimpl
def register_tasks() -> Sequence[Task]:
    return tasks.TASKS
