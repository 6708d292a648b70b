"""`/operator/tenants` endpoints: list, create, suspend, close and purge organisations, set plan and limits."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr, Field, StringConstraints

from host.api.tenant import shape
from host.contracts import Created, Page, Row
from host.data import cursors
from host.errors import NotFound
from host.execution_context import in_tenant
from host.input_types import Name
from host.membership.members import appoint_owner, proven_person
from host.plan_limits import limit_value
from host.plans import pin_plan, unpin_plan
from host.provisioning import provisioning
from host.services import services
from host.web.routes import Routes
from tenants.models import Tenant, TenantStatus
from tenants.text import fold
from tenants.text_columns import TextFold

routes = Routes()
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class TenantQuery(BaseModel):
    """Which organisations to list, by slug."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: str | None = None
    status: TenantStatus | None = None
    plan: str | None = None
    q: str | None = None


class NewTenant(BaseModel):
    """An organisation to create; its owner, if named, must have an account."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    slug: str | None = None
    plan: str | None = None
    owner_email: EmailStr | None = None


class Suspension(BaseModel):
    """The reason for a suspension; members see it."""

    model_config = ConfigDict(extra="forbid")
    reason: Reason


class PlanChange(BaseModel):
    """The id of a plan in config/plans.toml, and why; the organisation sees it."""

    model_config = ConfigDict(extra="forbid")
    plan: str
    why: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""


class NewOwner(BaseModel):
    """The new owner: the verified e-mail address of an account."""

    model_config = ConfigDict(extra="forbid")
    email: EmailStr


class LimitChange(BaseModel):
    """A limit's value as config/plans.toml writes it: "20", "500/month", "5 GB", "unlimited"."""

    model_config = ConfigDict(extra="forbid")
    value: str


@routes.get("/operator/tenants", name="operator.tenants.list", operator=True, needs_tenant=False)
async def list_tenants(query: TenantQuery) -> Page:
    """Every organisation of the deployment, by slug."""
    tenants = Tenant.all().order_by("slug").limit(query.limit + 1)
    if query.status is not None:
        tenants = tenants.filter(status=query.status)
    if query.plan is not None:
        tenants = tenants.filter(plan=query.plan)
    if query.q is not None:
        tenants = tenants.annotate(folded=TextFold("name")).filter(folded__contains=fold(query.q))
    if query.cursor is not None:
        tenants = tenants.filter(slug__gt=str(cursors.decode(_key(), _scope(query), query.cursor)[0]))
    rows = [_shown(tenant) for tenant in await tenants]
    page = rows[: query.limit]
    more = cursors.encode(_key(), _scope(query), [page[-1]["slug"]]) if len(rows) > query.limit else None
    return Page(page, query.limit, more)


@routes.post("/operator/tenants", name="operator.tenants.create", operator=True, needs_tenant=False)
async def create_tenant(body: NewTenant) -> Created:
    """Make an organisation, with or without an owner."""
    owner = await proven_person(body.owner_email, "owner_email") if body.owner_email is not None else None
    tenant = await provisioning().create(body.name, slug=body.slug, plan=body.plan or "", owner=owner)
    return Created(shape(tenant), f"/operator/tenants/{tenant.slug}")


@routes.get("/operator/tenants/<slug>", name="operator.tenants.read", operator=True, needs_tenant=False)
async def read_tenant(slug: str) -> Row:
    """One organisation with its own values of limits."""
    tenant = await _by_slug(slug)
    snapshot = await services().snapshots.tenant(tenant.id, None)
    return _shown(tenant) | {"limits": dict(snapshot.limits) if snapshot else {}}


@routes.delete("/operator/tenants/<slug>", name="operator.tenants.delete", operator=True, needs_tenant=False)
async def delete_tenant(slug: str) -> None:
    """Close an organisation; it is purged when the grace period is over."""
    await provisioning().delete(await _id(slug))


@routes.post("/operator/tenants/<slug>/suspend", name="operator.tenants.suspend", operator=True, needs_tenant=False)
async def suspend_tenant(slug: str, body: Suspension) -> Row:
    """Suspend an organisation: its members have no access until it is resumed."""
    await provisioning().suspend(await _id(slug), body.reason)
    return shape(await _by_slug(slug))


@routes.post("/operator/tenants/<slug>/resume", name="operator.tenants.resume", operator=True, needs_tenant=False)
async def resume_tenant(slug: str) -> Row:
    """Reopen a suspended organisation, or undo a deletion within its grace period."""
    await provisioning().resume(await _id(slug))
    return shape(await _by_slug(slug))


@routes.post("/operator/tenants/<slug>/purge", name="operator.tenants.purge", operator=True, needs_tenant=False)
async def purge_tenant(slug: str) -> None:
    """Remove everything of a deleted organisation now, before its grace period is over."""
    await provisioning().purge(await _id(slug))


@routes.put("/operator/tenants/<slug>/owner", name="operator.tenants.owner", operator=True, needs_tenant=False)
async def appoint(slug: str, body: NewOwner) -> Row:
    """Make somebody with a verified address an owner, in addition to any existing owners."""
    member = await appoint_owner(await _id(slug), body.email)
    return {"user_id": member.user.id, "email": member.user.email, "name": member.user.name, "role": member.role.name}


@routes.put("/operator/tenants/<slug>/plan", name="operator.tenants.plan", operator=True, needs_tenant=False)
async def set_plan(slug: str, body: PlanChange) -> Row:
    """Give an organisation a plan and pin it, so that the plan source's choice waits."""
    await pin_plan(await _id(slug), body.plan, body.why)
    return _shown(await _by_slug(slug))


@routes.delete("/operator/tenants/<slug>/plan", name="operator.tenants.unpin", operator=True, needs_tenant=False)
async def unpin(slug: str) -> Row:
    """Lift the pin of an organisation's plan: what the plan source chose last takes over."""
    await unpin_plan(await _id(slug))
    return _shown(await _by_slug(slug))


@routes.put("/operator/tenants/<slug>/limits/<limit>", name="operator.limits.update", operator=True, needs_tenant=False)
async def set_limit(slug: str, limit: str, body: LimitChange) -> Row:
    """Set an organisation's own value of a limit, which overrides the plan's."""
    tenant_id = await _id(slug)
    await provisioning().set_limit(tenant_id, limit, body.value)
    return await _limit(tenant_id, limit)


@routes.delete(
    "/operator/tenants/<slug>/limits/<limit>", name="operator.limits.delete", operator=True, needs_tenant=False
)
async def unset_limit(slug: str, limit: str) -> None:
    """Remove an organisation's own value of a limit; the plan's applies again."""
    await provisioning().set_limit(await _id(slug), limit, None)


def _shown(tenant: Tenant) -> Row:
    fields = ("status_reason", "plan_pinned", "plan_why", "source_plan", "source_why")
    return shape(tenant) | {field: getattr(tenant, field) for field in fields}


def _key() -> bytes:
    return services().database.cursor_key


def _scope(query: TenantQuery) -> tuple[str, ...]:
    return ("operator.tenants", query.status or "", query.plan or "", query.q or "")


async def _by_slug(slug: str) -> Tenant:
    tenant = await Tenant.get_or_none(slug=slug)
    if tenant is None:
        raise NotFound("There is no such tenant.")
    return tenant


async def _id(slug: str) -> UUID:
    return (await _by_slug(slug)).id


async def _limit(tenant_id: UUID, limit: str) -> Row:
    snapshot = await services().snapshots.tenant(tenant_id, None)
    with in_tenant(snapshot):
        value, source = await limit_value(limit, snapshot)
    return {"name": limit, "value": str(value), "source": source}
