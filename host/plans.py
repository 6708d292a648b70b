"""Change an organisation's plan, as its one source or as an operator who pins it; read what plans say for plugins."""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel

from host.contracts import Event, EventType
from host.execution_context import plugin
from host.input_errors import nearest
from host.provisioning import changing_tenant, provisioning, refuse_unknown_plan, unpark
from host.registry.kinds import PLAN_SOURCE
from host.services import services, tenant_snapshot, unit_of_work
from tenants.context import current
from tenants.models import Tenant

_LONGEST = 500  # characters of a reason
_COLUMNS = ("plan", "plan_why", "plan_pinned", "source_plan", "source_why")
AnyModel = TypeVar("AnyModel", bound=BaseModel)


class TenantPlanChanged(Event, frozen=True):
    """The organisation has another plan now: ids of plans. `why` is for people to read, and may be empty.

    Example:
        async def when_plan_changed(event: TenantPlanChanged) -> None:
            await NOTES.insert(text=f"From {event.before} to {event.after}: {event.why}")
    """

    before: str
    after: str
    why: str = ""


EVENTS = (EventType(TenantPlanChanged, "An organisation has another plan now"),)


async def assign_plan(plan: str, why: str) -> bool:
    """Choose the plan of the bound tenant, as this deployment's plan source; whether it is in force now.

    While an operator has pinned the plan, the choice is stored, and takes over when the pin is lifted. What the tenant
    has beyond the new limits stays. Choosing the same again changes nothing.

    Raises:
        LookupError: this plugin is not the plan source. ValidationFailed: there is no such plan.

    Example:
        async with unit_of_work():
            await assign_plan("pro", "The subscription was paid.")
    """
    if plugin() != plan_source():
        raise LookupError(
            f'plugin "{plugin()}" is not the source of plans here: return a PlanSource from register_plan_source'
        )
    refuse_unknown_plan(plan)
    async with changing_tenant(current(), "tenant.plan.update") as (tenant, before, after):
        was = _noted(tenant, before)
        tenant.source_plan, tenant.source_why = plan, why[:_LONGEST]
        if not tenant.plan_pinned:
            tenant.plan, tenant.plan_why = plan, tenant.source_why
        await _keep(tenant, was, after)
        return not tenant.plan_pinned


async def pin_plan(tenant_id: UUID, plan: str, why: str = "") -> None:
    """Give a tenant a plan as an operator: it stays, whatever the plan source chooses, until the pin is lifted.

    Raises:
        NotFound: there is no such tenant. ValidationFailed: there is no such plan.
    """
    refuse_unknown_plan(plan)
    async with changing_tenant(tenant_id, "tenant.plan.update") as (tenant, before, after):
        was = _noted(tenant, before)
        tenant.plan, tenant.plan_why, tenant.plan_pinned = plan, why[:_LONGEST], True
        await _keep(tenant, was, after)


async def unpin_plan(tenant_id: UUID) -> None:
    """Lift an operator's pin: what the plan source chose last takes over; where it chose nothing, the plan stays.

    Raises:
        NotFound: there is no such tenant. ValidationFailed: the plan that would take over is not there any more.
    """
    async with changing_tenant(tenant_id, "tenant.plan.update") as (tenant, before, after):
        was = _noted(tenant, before)
        if tenant.plan_pinned and tenant.source_plan is not None:
            refuse_unknown_plan(tenant.source_plan)
            tenant.plan, tenant.plan_why = tenant.source_plan, tenant.source_why
        elif tenant.plan_pinned:
            tenant.plan_why = ""
        tenant.plan_pinned = False
        await _keep(tenant, was, after)


def plan_source() -> str | None:
    """The id of the plugin that chooses plans here; None where none does."""
    return next((owner for owner, _ in provisioning().registry.catalog.all(PLAN_SOURCE)), None)


def source_of(tenant: Tenant) -> Literal["operator", "source", "start"]:
    """Who chose the plan that a tenant has: an operator, the plan source, or nobody since it was made."""
    return "operator" if tenant.plan_pinned else "start" if tenant.source_plan is None else "source"


async def plan_settings(model: type[AnyModel], plan: str = "") -> AnyModel:
    """What a plan says for the plugin that registered `model`, defaults filled in; the bound tenant's, without `plan`.

    Raises:
        LookupError: nobody registered the model, or there is no such plan.

    Example:
        prices = (await plan_settings(PlanSettings, "pro")).price_ids
    """
    plan = plan or (await tenant_snapshot()).plan
    found = provisioning().registry.plan_settings
    for (_, named), value in found.items():
        if named == plan and isinstance(value, model):
            return value
    if any(isinstance(value, model) for value in found.values()):
        raise LookupError(f"there is no plan {plan!r}{nearest(plan, services().plans.ids)}")
    raise LookupError(f"no loaded plugin returned {model.__name__} from register_plan_settings()")


def _noted(tenant: Tenant, before: dict[str, object]) -> str:
    """Note for the record how it was; the plan it was."""
    before.update({name: getattr(tenant, name) for name in _COLUMNS})
    return tenant.plan


async def _keep(tenant: Tenant, was: str, after: dict[str, object]) -> None:
    await tenant.save(update_fields=[*_COLUMNS, "updated_at"])
    after.update({name: getattr(tenant, name) for name in _COLUMNS})
    if tenant.plan != was:
        async with unit_of_work() as work:
            work.announce(TenantPlanChanged(before=was, after=tenant.plan, why=tenant.plan_why))
            work.after_commit(partial(unpark, provisioning().registry.ids, tenant.id))
