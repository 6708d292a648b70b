"""What the audit plugin brings: its hook implementations and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from host.sdk import Action, Permission, Route, TenantModel, hookimpl

from . import models, routes, service


@hookimpl
def register_routes() -> Sequence[Route]:
    return tuple(routes.routes)


@hookimpl
def register_models() -> Sequence[type[TenantModel]]:
    return (models.Entry,)


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return routes.PERMISSIONS


@hookimpl
async def on_action(action: Action) -> None:
    await service.write(action)
