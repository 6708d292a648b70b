"""The pluggy hook specifications: every hook that a plugin may implement, typed and documented.

The first word tells the kind. `register_*`: collected once at start, synchronous, returns plain frozen data, as its
line in host/registry/kinds.py says; a duplicate or a clash stops the start and names both plugins. ask
(`authenticate`, `authorize`, `contribute_*`, `resolve_*`, `describe_*`): asynchronous, active plugins only. `on_*`:
told, in dependency order; reverse order for stopping.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import pluggy
from pydantic import BaseModel
from tortoise.models import Model

from host.contracts import (
    Action,
    Actor,
    Command,
    Contribution,
    Decision,
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
    TenantInfo,
)
from tenants.access import Grant

NAMESPACE = "tenantry"
hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)
"""Marks a function of `plugin.py` as the implementation of the hook of that name.

Example:
    @hookimpl
    def register_models() -> Sequence[type[TenantModel]]:
        return (Note,)
"""


class HookSpecs:
    """The hooks a plugin may implement; each as a module-level function of its `plugin.py`."""

    # -- register: what the plugin brings ----------------------------------------------------------------

    @hookspec
    def register_routes(self) -> Sequence[Route]:
        """The endpoints, served below `/api/v1`. A route that does not say who may call it stops the start."""
        raise NotImplementedError

    @hookspec
    def register_models(self) -> Sequence[type[Model]]:
        """The models, each a TenantModel, which is isolated, scoped and purged for you. Tables: `<plugin>_<plural>`."""
        raise NotImplementedError

    @hookspec
    def register_settings(self) -> type[BaseModel]:
        """The model of `[<plugin>.settings]` in plugins.toml and of `TENANTRY_<PLUGIN>__<KEY>`.

        Before production is served it is validated once more, with `{"production": True}` as pydantic's context
        (`ValidationInfo.context`): what would lose data is refused there, and the start with it.
        """
        raise NotImplementedError

    @hookspec
    def register_tenant_settings(self) -> type[BaseModel]:
        """The model of what each tenant may set with `PUT /tenant/plugins/<plugin>/settings`."""
        raise NotImplementedError

    @hookspec
    def register_permissions(self) -> Sequence[Permission]:
        """Permissions that routes name and roles hold, besides those declared with a route."""
        raise NotImplementedError

    @hookspec
    def register_limits(self) -> Sequence[Limit]:
        """What config/plans.toml may limit, besides the limits declared with a route."""
        raise NotImplementedError

    @hookspec
    def register_plan_source(self) -> Sequence[PlanSource]:
        """That this plugin chooses plans, with `assign_plan`. Two plugins that do stop the start."""
        raise NotImplementedError

    @hookspec
    def register_plan_settings(self) -> type[BaseModel]:
        """The model of `[<plan>.<plugin>]` in config/plans.toml; a plan without that table has the model's defaults."""
        raise NotImplementedError

    @hookspec
    def register_tasks(self) -> Sequence[Task]:
        """Background work, some of it on a schedule."""
        raise NotImplementedError

    @hookspec
    def register_events(self) -> Sequence[EventType]:
        """What this plugin announces."""
        raise NotImplementedError

    @hookspec
    def register_listeners(self) -> Sequence[Subscription]:
        """Which events, its own or others', this plugin wants to hear."""
        raise NotImplementedError

    @hookspec
    def register_message_templates(self) -> Sequence[MessageTemplate]:
        """Texts for `request_message`, in folders of the plugin. A folder that is missing or wrong stops the start."""
        raise NotImplementedError

    @hookspec
    def register_commands(self) -> Sequence[Command]:
        """Commands mounted as `tenantry <plugin> <command>`."""
        raise NotImplementedError

    @hookspec
    def register_health_checks(self) -> Sequence[HealthCheck]:
        """Parts that `/api/v1/ready` lists and `tenantry doctor` looks at; a failing one stops no request."""
        raise NotImplementedError

    @hookspec
    def register_metrics(self) -> Sequence[Metric]:
        """Metrics: counters and histograms fed with `count` and `observe`, and gauges, which are read."""
        raise NotImplementedError

    @hookspec
    def register_live_channels(self) -> Sequence[LiveChannel]:
        """Channels for messages about what happens now, which `live(name)` publishes and follows."""
        raise NotImplementedError

    @hookspec
    def register_personal_data(self) -> Sequence[PersonalData]:
        """What the plugin holds of people, how it is found and how it is erased; asked even where it is switched off.

        What raises in `find` or `erase` stops the erasure, which is tried again.
        """
        raise NotImplementedError

    @hookspec
    def register_extension_points(self) -> Sequence[ExtensionPoint[Any]]:
        """Where other plugins may add to this one. What they add is checked against the point's model at the start."""
        raise NotImplementedError

    @hookspec
    def register_contributions(self) -> Sequence[Contribution]:
        """What this plugin adds to others. What does not fit stops the start and names both plugins."""
        raise NotImplementedError

    # -- ask: the plugin decides, once per request -------------------------------------------------------

    @hookspec
    async def authenticate(self, headers: Mapping[str, str]) -> Actor | None:
        """Identify the caller of a request that has neither an access token nor an API key of the host; None: unknown.

        The first plugin that answers wins. An exception is a "no": the request goes on as anonymous.
        """
        raise NotImplementedError

    @hookspec
    async def authorize(self, actor: Actor, permission: str, resource: Mapping[str, str]) -> Decision | None:
        """Allow or refuse, on top of roles, that `actor` uses `permission` on `resource` (the path's parameters).

        None: no opinion. One "no" is final; an exception or a time-out is a "no".
        """
        raise NotImplementedError

    @hookspec
    async def contribute_principals(self, user_id: UUID) -> Collection[str]:
        """What a member of the bound tenant stands for beside themselves, such as "team:<id>"; 200 at most.

        Asked when the member's rights are read, not at every request: when the answer would change, call
        `work.touch(user=…)`, or `work.touch(tenant=…)` if it changes for many, in the same unit of work. An exception
        contributes nothing.
        """
        raise NotImplementedError

    @hookspec
    async def contribute_grants(self, user_id: UUID) -> Sequence[Grant]:
        """The permissions that a member of the bound tenant has beside their role's, with what gives them.

        Asked, and to be touched, as `contribute_principals`. `all_permission` cannot be given.
        """
        raise NotImplementedError

    @hookspec
    async def resolve_principals(self, principals: Collection[str]) -> Collection[UUID]:
        """The ids of the people who stand for any of these, of those kinds that this plugin contributes."""
        raise NotImplementedError

    @hookspec
    async def describe_principals(self, principals: Collection[str]) -> Mapping[str, str]:
        """The name, for people to read, of each of these that this plugin contributes."""
        raise NotImplementedError

    # -- told: it happened -------------------------------------------------------------------------------

    @hookspec
    async def on_start(self) -> None:
        """This process starts, in dependency order, before the first request. Raising puts the plugin in quarantine."""
        raise NotImplementedError

    @hookspec
    async def on_stop(self) -> None:
        """This process stops, in reverse order; 5 seconds at most."""
        raise NotImplementedError

    @hookspec
    async def on_tenant_created(self, tenant: TenantInfo) -> None:
        """A tenant was created; bound. At least once: a crash in between repeats it."""
        raise NotImplementedError

    @hookspec
    async def on_tenant_deleted(self, tenant: TenantInfo) -> None:
        """A tenant is about to be purged for ever; bound. Rows and stored files go without your help."""
        raise NotImplementedError

    @hookspec
    async def on_activated(self, tenant: TenantInfo) -> None:
        """This plugin was switched on for a tenant; bound. At least once. Raising leaves it off, with the reason."""
        raise NotImplementedError

    @hookspec
    async def on_deactivated(self, tenant: TenantInfo) -> None:
        """This plugin was switched off for a tenant; bound. Data stays."""
        raise NotImplementedError

    @hookspec
    async def on_action(self, action: Action) -> None:
        """Something was done, denied or failed. If done, inside its transaction: raising undoes it."""
        raise NotImplementedError
