"""Hook implementations of the mail plugin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import BaseModel

from host.sdk import (
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
    TenantInfo,
    TenantModel,
    hookimpl,
)

from . import commands, events, models, routes, settings, tasks
from .providers import channel
from .service import account_mail, attachments, dispatcher, erasure, messages, outbox, senders, timeline, wanted


@hookimpl
def register_routes() -> Sequence[Route]:
    return routes.ROUTES


@hookimpl
def register_models() -> Sequence[type[TenantModel]]:
    return models.MODELS


@hookimpl
def register_settings() -> type[BaseModel]:
    return settings.Settings


@hookimpl
def register_tenant_settings() -> type[BaseModel]:
    return settings.TenantSettings


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return routes.PERMISSIONS


@hookimpl
def register_limits() -> Sequence[Limit]:
    return (*messages.LIMITS, *senders.LIMITS, *attachments.LIMITS)


@hookimpl
def register_tasks() -> Sequence[Task]:
    return tasks.TASKS


@hookimpl
def register_events() -> Sequence[EventType]:
    return events.EVENTS


@hookimpl
def register_listeners() -> Sequence[Subscription]:
    return (*account_mail.LISTENERS, *wanted.LISTENERS)


@hookimpl
def register_personal_data() -> Sequence[PersonalData]:
    return erasure.PERSONAL_DATA


@hookimpl
def register_commands() -> Sequence[Command]:
    return commands.COMMANDS


@hookimpl
def register_health_checks() -> Sequence[HealthCheck]:
    return (HealthCheck("mail", account_mail.check, thorough=account_mail.ask),)


@hookimpl
def register_metrics() -> Sequence[Metric]:
    return (timeline.MESSAGES_TOTAL, channel.HANDOVER)


@hookimpl
async def on_tenant_deleted(tenant: TenantInfo) -> None:
    await asyncio.to_thread(outbox.forget, tenant.slug)


@hookimpl
async def on_stop() -> None:
    await dispatcher.close_dispatchers()
