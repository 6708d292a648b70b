"""Create, suspend, delete and purge tenants, change their limits, and tell the plugins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from host.activation import Activations, tell
from host.app_context import app_context
from host.cache.namespace import forget_tenant
from host.data.rls_parts import DEPLOYMENT_WIDE
from host.data.tenant_tables import TenantTable, delete_rows, refuse_out_of_reach, tenant_tables
from host.errors import Conflict, NotFound, ValidationFailed
from host.execution_context import in_tenant
from host.membership.events import MemberJoined
from host.registry.checks import limit_complaint
from host.registry.registry import Registry
from host.services import services, tenant_snapshot, unit_of_work
from tenants import lifecycle
from tenants.context import bind, cross_tenant, current
from tenants.lifecycle import RoleSeed
from tenants.models import Membership, Tenant, TenantSetting, TenantStatus, User
from tenants.plans import effective_limit
from tenants.scoping import TenantModel
from tenants.snapshots import TenantSnapshot

PER_PERSON = "tenant.per_person"
"""The limit of a plan that says how many organisations with it one person may own."""


@dataclass(frozen=True)
class Provisioning:
    """Operations on whole tenants: each is one unit of work, after which plugins are told."""

    registry: Registry
    roles: Sequence[RoleSeed]
    models: Sequence[type[TenantModel]]

    @property
    def switching(self) -> Activations:
        """Turns plugins on and off for the bound tenant."""
        return Activations(self.registry)

    # -- creating, suspending and deleting ---------------------------------------------------------------

    async def create_own(self, name: str, person: User, *, slug: str | None = None) -> Tenant:
        """Make a tenant that a person owns and asked for, if the plan lets one person own one more.

        Raises:
            QuotaExceeded: they own as many already, those within their grace period among them.
            ValidationFailed, Conflict: as `create`.
        """
        async with unit_of_work():
            if not person.is_operator:
                await self._refuse_one_more(person, services().settings.app.default_plan)
            return await self.create(name, slug=slug, owner=person)

    async def create(self, name: str, *, slug: str | None = None, plan: str = "", owner: User | None = None) -> Tenant:
        """Make a tenant with its roles and its owner; plugins hear `on_tenant_created` from a durable job.

        Raises:
            ValidationFailed: the name is not one line, the slug is reserved or malformed, or the plan is unknown.
            Conflict: the slug is taken.
        """
        config = services().settings
        chosen = plan or config.app.default_plan
        refuse_unknown_plan(chosen)
        async with unit_of_work() as work:
            try:
                reserved = config.tenants.reserved_slugs
                tenant = await lifecycle.create(name, chosen, self.roles, owner=owner, slug=slug, reserved=reserved)
            except lifecycle.SlugTaken as error:
                raise Conflict(str(error), details={"slug": str(error)}) from error
            except lifecycle.SlugInvalid as error:
                raise ValidationFailed(details={"slug": str(error)}) from error
            except lifecycle.NameInvalid as error:
                raise ValidationFailed(details={"name": str(error)}) from error
            with bind(tenant.id):
                work.record("tenant.tenant.create", "tenant", tenant.id, after={"slug": tenant.slug, "plan": chosen})
                if owner is not None:
                    role = next(role.name for role in self.roles if role.all_permission)
                    work.announce(MemberJoined(user_id=owner.id, role=role))
                await work.enqueue("host.tenant_created", key=f"created:{tenant.id}")
            work.touch(tenant=tenant.id, user=owner.id if owner else None)
        return tenant

    async def suspend(self, tenant_id: UUID, reason: str) -> None:
        """Close a tenant to everybody but operators; its data and its plan stay."""
        async with changing_tenant(tenant_id, "tenant.tenant.suspend") as (tenant, _, after):
            await lifecycle.suspend(tenant, reason)
            after.update(status="suspended", reason=reason)

    async def resume(self, tenant_id: UUID) -> None:
        """Open a suspended tenant again, or take back a deletion within its grace period."""
        async with changing_tenant(tenant_id, "tenant.tenant.resume") as (tenant, _, after):
            await (lifecycle.restore if tenant.status == TenantStatus.DELETING else lifecycle.resume)(tenant)
            after.update(status="active")
        await unpark(self.registry.ids, tenant_id)

    async def delete(self, tenant_id: UUID) -> datetime:
        """Close a tenant and purge it when the grace period has passed.

        Returns:
            the UTC time after which nothing is left of it.
        """
        grace = timedelta(days=services().settings.tenants.grace_days)
        async with changing_tenant(tenant_id, "tenant.tenant.delete") as (tenant, _, after):
            await lifecycle.delete(tenant, grace)
            after.update(status="deleting")
            async with unit_of_work() as work:
                await work.enqueue("host.purge", run_at=tenant.delete_after)
        due = tenant.delete_after
        assert due is not None  # lifecycle.delete sets it
        return due

    async def purge(self, tenant_id: UUID) -> None:
        """Remove every row and every stored file of a tenant, for ever; safe to repeat.

        Rows of plugins that are not loaded go too: their tables are found in the database's catalogue.

        Raises:
            Conflict: it was not deleted first, or rows of it are out of reach; then nothing is removed.
        """
        facts = await self._facts(tenant_id)
        if facts.status != "deleting":
            raise Conflict(f"{facts.slug} is {facts.status}; delete it first, then purge it.")
        with in_tenant(facts):
            beside = await self.tables_beside()
            refuse_out_of_reach(beside)
            await tell(self.registry, "on_tenant_deleted", facts, self.registry.ids)
            await services().storage.purge_prefix(f"t/{tenant_id}/")
            await services().job_store.purge(tenant_id)
            await forget_tenant(services().redis_client, tenant_id)
            async with unit_of_work() as work:
                await delete_rows(services().database, beside)
                await lifecycle.purge(tenant_id, self.models)
                with bind(None):  # nothing of the tenant's own is left to record it in
                    work.record("tenant.tenant.purge", "tenant", tenant_id, before={"slug": facts.slug})
                work.touch(tenant=tenant_id)
        services().directory.forget(tenant_id)

    async def tables_beside(self) -> list[TenantTable]:
        """Tables with tenants' rows that no loaded model stands for, such as those of a plugin taken out."""
        modelled = {model._meta.db_table for model in self.models}
        return await tenant_tables(services().database, without=modelled | DEPLOYMENT_WIDE.keys())

    # -- limits ------------------------------------------------------------------------------------------

    async def set_limit(self, tenant_id: UUID, limit: str, value: str | None) -> None:
        """Give a tenant its own value of a limit; None takes it back."""
        if limit not in services().limits:
            raise NotFound(f"No loaded plugin declares a limit {limit!r}.")
        if value is not None and (wrong := limit_complaint(services().limits[limit], value)):
            raise ValidationFailed(details={"value": wrong})
        key = f"limit:{limit}"
        async with changing_tenant(tenant_id, "tenant.limits.update") as (_, before, after):
            own = await TenantSetting.get_or_none(key=key)
            before[limit] = own.value["value"] if own else None
            if value is None:
                await TenantSetting.filter(key=key).delete()
            else:
                await TenantSetting.update_or_create(defaults={"value": {"value": value}}, key=key)
            after[limit] = value

    # -- what durable jobs call --------------------------------------------------------------------------

    async def purge_if_due(self) -> None:
        """Purge the bound tenant if its grace period is over and nobody took the deletion back."""
        tenant = await Tenant.get(id=current())
        if tenant.delete_after is not None and tenant.delete_after <= datetime.now(UTC):
            await self.purge(tenant.id)

    async def tenant_created(self) -> None:
        """Tell the plugins that are on for the bound, new tenant; at least once."""
        facts = await tenant_snapshot()
        active = [plugin for plugin in self.registry.ids if plugin in self.registry.feature_gate.active(facts)]
        await tell(self.registry, "on_tenant_created", facts, active)
        await tell(self.registry, "on_activated", facts, active)

    # -- steps -------------------------------------------------------------------------------------------

    async def _facts(self, tenant_id: UUID) -> TenantSnapshot:
        facts = await services().snapshots.tenant(tenant_id, None)
        if facts is None:
            raise NotFound("There is no such tenant.")
        return facts

    async def _refuse_one_more(self, person: User, plan: str) -> None:
        await User.select_for_update(no_key=True).get(id=person.id)  # one at a time, so that the number holds
        with cross_tenant("a person's own memberships"):
            own = await Membership.filter(user_id=person.id, role__all_permission=True)
        owned = await Tenant.filter(id__in=[each.tenant_id for each in own], plan=plan).count()
        value, _ = effective_limit(services().plans, plan, PER_PERSON, services().limits[PER_PERSON].default, None)
        services().quotas.refuse_beyond(PER_PERSON, value, owned, 1)


def refuse_unknown_plan(plan: str) -> None:
    """Refuse what is no plan of config/plans.toml.

    Raises:
        ValidationFailed: it lists those there are.
    """
    plan_ids = services().plans.ids
    if plan not in plan_ids:
        raise ValidationFailed(details={"plan": f"unknown plan {plan!r}; there are {', '.join(plan_ids)}"})


async def unpark(plugins: Iterable[str], tenant_id: UUID) -> None:
    """Let jobs run that waited for their plugin to be on, or for the tenant to be open."""
    for plugin in plugins:
        await services().job_store.unpark(plugin, tenant_id)


def provisioning() -> Provisioning:
    """The provisioning of the application that handles this request, job or command."""
    return cast(Provisioning, app_context().provisioning)


@asynccontextmanager
async def changing_tenant(tenant_id: UUID, name: str) -> AsyncIterator[tuple[Tenant, dict[str, Any], dict[str, Any]]]:
    """Change a tenant's own row: locks it, records what is noted before and after, invalidates the snapshot.

    What was the same before is left out; where nothing else is left, nothing is recorded.
    """
    with bind(tenant_id):
        async with unit_of_work() as work:
            tenant = await Tenant.select_for_update().get_or_none(id=tenant_id)
            if tenant is None:
                raise NotFound("There is no such tenant.")
            before: dict[str, Any] = {"status": tenant.status.value, "plan": tenant.plan}
            after: dict[str, Any] = {}
            try:
                yield tenant, before, after
            except lifecycle.StatusConflict as error:
                raise Conflict(str(error)) from error
            changed = {key: value for key, value in after.items() if key not in before or before[key] != value}
            if changed:
                was = {key: before[key] for key in changed if key in before}
                work.record(name, "tenant", tenant.id, before=was, after=changed)
            work.touch(tenant=tenant.id)
