"""`/tenants` and `/tenant` endpoints: list, create, read, change and close a person's organisations."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from host.contracts import Actor, Answer, Created, Row
from host.errors import PermissionDenied, PreconditionFailed, RateLimited, Unauthenticated, ValidationFailed
from host.input_types import Name, TimeZone
from host.limits.rates import Bucket
from host.provisioning import provisioning
from host.services import services, unit_of_work
from host.web.routes import Routes
from tenants.context import cross_tenant, current
from tenants.models import Membership, Tenant, User

routes = Routes()


class NewTenant(BaseModel):
    """An organisation to create; the slug is made from the name when it is not given, and never changes."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    slug: str | None = None


class TenantChanges(BaseModel):
    """Only fields that are sent change; the defaults below are never stored."""

    model_config = ConfigDict(extra="forbid")
    name: Name = ""
    timezone: TimeZone = "UTC"


class Confirmation(BaseModel):
    """The organisation's slug, typed again, so that nobody closes the wrong one."""

    model_config = ConfigDict(extra="forbid")
    confirm: str


def shape(tenant: Tenant) -> Row:
    """An organisation as the API shows it."""
    fields = ("id", "slug", "name", "status", "plan", "timezone", "delete_after", "version", "created_at", "updated_at")
    return {field: getattr(tenant, field) for field in fields}


async def owned_by(actor: Actor) -> User:
    """The person behind a request.

    Raises:
        PermissionDenied: it is an API key: keys belong to one organisation.
    """
    if actor.kind != "user":
        raise PermissionDenied("This belongs to a person; an API key cannot use it.")
    user = await User.get_or_none(id=actor.user_id)
    if user is None:
        raise Unauthenticated
    return user


@routes.get("/tenants", name="tenants.list", signed_in=True, needs_tenant=False)
async def list_tenants(actor: Actor) -> list[Row]:
    """Every organisation of the person who asks, with their role in it."""
    user = await owned_by(actor)
    with cross_tenant("a person's own memberships"):
        memberships = await Membership.filter(user_id=user.id).select_related("role").order_by("created_at")
    tenants = {tenant.id: tenant for tenant in await Tenant.filter(id__in=[member.tenant_id for member in memberships])}
    return [shape(tenants[member.tenant_id]) | {"role": member.role.name} for member in memberships]


@routes.post("/tenants", name="tenants.create", signed_in=True, needs_tenant=False)
async def create_tenant(body: NewTenant, actor: Actor) -> Created:
    """Create an organisation and become its owner. Its plan limits how many of that plan one person may own."""
    person = await owned_by(actor)
    await _allow_another(person)
    tenant = await provisioning().create_own(body.name, person, slug=body.slug)
    return Created(shape(tenant), "/tenant")


async def _allow_another(person: User) -> None:
    """Count against the rate at which one person may create organisations; operators are not limited."""
    value = services().settings.rates.organisations
    if person.is_operator or value.amount is None or value.seconds is None:
        return
    taken = await services().rates.take([Bucket(f"organisations:{person.id}", value.amount, value.seconds)])
    if not taken.allowed:
        raise RateLimited(
            f"One person may make {value} organisations here.",
            headers={"Retry-After": str(max(1, taken.reset_seconds))},
        )


@routes.get("/tenant", name="tenant.read", signed_in=True)
async def read_tenant() -> Row:
    """The organisation this request is for."""
    return shape(await Tenant.get(id=current()))


@routes.patch("/tenant", name="tenant.update", permission="tenant.profile.update")
async def update_tenant(body: TenantChanges, if_match: int | None) -> Row:
    """Change the current organisation's name, or the time zone in which its days begin."""
    async with unit_of_work() as work:
        tenant = await Tenant.select_for_update().get(id=current())
        if if_match is not None and if_match != tenant.version:
            raise PreconditionFailed
        changes = body.model_dump(exclude_unset=True)
        before = {name: getattr(tenant, name) for name in changes}
        if before != changes:
            tenant.update_from_dict(changes | {"version": tenant.version + 1})
            await tenant.save(update_fields=[*changes, "version", "updated_at"])
            work.record("tenant.profile.update", "tenant", tenant.id, before=before, after=changes)
            work.touch(tenant=tenant.id)
    return shape(tenant)


@routes.delete("/tenant", name="tenant.delete", permission="tenant.profile.delete")
async def delete_tenant(query: Confirmation) -> Answer:
    """Close the current organisation; until `delete_after` an operator can restore it."""
    tenant = await Tenant.get(id=current())
    if query.confirm != tenant.slug:
        raise ValidationFailed(details={"confirm": f"must be the organisation's slug, {tenant.slug}"})
    due = await provisioning().delete(tenant.id)
    return Answer({"status": "deleting", "delete_after": due}, status=202)
