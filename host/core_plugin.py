"""Register the host's own routes, models, permissions, limits, tasks and metrics through the plugin hooks."""

from __future__ import annotations

from collections.abc import Sequence

from tortoise.models import Model

from host.api import (
    api_keys,
    auth,
    jobs,
    me,
    members,
    operator,
    operator_jobs,
    operator_plugins,
    personal_data,
    plan,
    platform,
    plugins,
    roles,
    stored_files,
    tenant,
    tickets,
)
from host.api.permissions import PERMISSIONS
from host.cache.models import CacheInvalidation
from host.contracts import DAILY_CLEAN_UP, EventType, Limit, LiveChannel, Metric, Permission, PersonalData, Route, Task
from host.core_metrics import METRICS
from host.hookspecs import hookimpl
from host.identity import cleanup
from host.identity import models as identity
from host.identity.api_keys import LIMIT as API_KEYS
from host.identity.api_keys import count_keys
from host.identity.events import EVENTS
from host.job_progress import JOBS
from host.jobs.models import Job, PausedTask
from host.limits.models import QuotaUse, Reservation
from host.membership import invitations
from host.membership import members as members_rules
from host.membership.events import EVENTS as MEMBER_EVENTS
from host.messages import EVENTS as MESSAGE_EVENTS
from host.personal_data import own
from host.personal_data.tasks import TASKS as ERASURE
from host.plans import EVENTS as PLAN_EVENTS
from host.provisioning import PER_PERSON, provisioning
from host.services import services, unit_of_work
from host.web.handlers import idempotency
from host.web.models import IdempotencyRecord, PersonalIdempotencyRecord
from tenants import models as tenants
from tenants.context import bind

APPS = {
    "tenants": ("tenants.models",),
    "host": ("host.cache.models", "host.identity.models", "host.jobs.models", "host.limits.models", "host.web.models"),
}
"""The ORM's apps of the host itself: label -> modules."""

MIGRATIONS = {"tenants": "tenants.migrations", "host": "host.migrations"}


async def tenant_created() -> None:
    """Tell plugins of the bound, new tenant."""
    await provisioning().tenant_created()


async def finish_switch(plugin_id: str) -> None:
    """Finish a switch that a crash left open."""
    await provisioning().switching.finish(plugin_id)


async def purge() -> None:
    """Purge the bound tenant when its grace period is over."""
    await provisioning().purge_if_due()


async def sweep() -> None:
    """Delete what has expired, in the bound tenant and outside any tenant, and add up old use of quotas."""
    await idempotency.forget_expired()
    async with unit_of_work():
        await services().quotas.compact()
    async with unit_of_work():
        await services().quotas.release_lapsed()
    with bind(None):
        await idempotency.forget_expired()
        await cleanup.forget_expired()


@hookimpl
def register_routes() -> Sequence[Route]:
    """The host's own resources, one module each."""
    account, own_tenant = (auth, me, tickets), (tenant, members, roles, plugins, plan, api_keys, jobs, personal_data)
    deployment = (operator, operator_jobs, operator_plugins, platform, stored_files)
    return [route for module in (*account, *own_tenant, *deployment) for route in module.routes]


@hookimpl
def register_models() -> Sequence[type[Model]]:
    """Every model of the foundation and of the host's services."""
    return (
        *(tenants.Tenant, tenants.Domain, tenants.User, tenants.Role, tenants.Membership, tenants.Invitation),
        *(tenants.Activation, tenants.TenantSetting),
        *(identity.Session, identity.ApiKey, identity.OneTimeToken, identity.OAuthAccount, identity.OAuthState),
        *(Job, PausedTask, QuotaUse, Reservation),
        *(IdempotencyRecord, PersonalIdempotencyRecord, CacheInvalidation),
    )


@hookimpl
def register_permissions() -> Sequence[Permission]:
    """Permissions of the area `tenant`."""
    return PERMISSIONS


@hookimpl
def register_limits() -> Sequence[Limit]:
    """What a plan limits of an organisation itself."""
    return (
        Limit(
            members_rules.LIMIT, "quota", "Members and open invitations", "members", count=members_rules.places_taken
        ),
        Limit(API_KEYS, "quota", "API keys that work", "keys", count=count_keys),
        Limit(invitations.RATE, "rate", "Invitations that may be mailed", "invitations", "200/day"),
        Limit(invitations.RATE_PER_ADDRESS, "rate", "Invitations mailed to one address", "invitations", "3/day"),
        Limit(PER_PERSON, "value", "Organisations with this plan that one person may own", "organisations", "10"),
    )


@hookimpl
def register_tasks() -> Sequence[Task]:
    """What provisioning leaves to durable jobs."""
    return (
        Task("tenant_created", tenant_created, "Tell plugins of a new tenant", tries=10),
        Task("finish_switch", finish_switch, "Finish a switch that a crash left open", tries=10),
        Task("sweep", sweep, "Forget what has expired and add up old use of quotas", at=DAILY_CLEAN_UP),
        *ERASURE,
        Task("purge", purge, "Purge a tenant whose grace period is over", timeout=3600, tries=10, backoff=60),
    )


@hookimpl
def register_events() -> Sequence[EventType]:
    """What happens to people, invitations and plans, and messages that are wanted."""
    return (*EVENTS, *MEMBER_EVENTS, *MESSAGE_EVENTS, *PLAN_EVENTS)


@hookimpl
def register_live_channels() -> Sequence[LiveChannel]:
    """What the host sends of jobs."""
    return (JOBS,)


@hookimpl
def register_personal_data() -> Sequence[PersonalData]:
    """What the host holds of people."""
    return (*own.PERSONAL_DATA, *idempotency.PERSONAL_DATA)


@hookimpl
def register_metrics() -> Sequence[Metric]:
    """The metrics of the host itself."""
    return METRICS
