"""Create, suspend, resume, delete with a grace period, restore and purge a tenant.

The functions change rows only; the host notifies plugins and refreshes cached snapshots. `create` binds the new
tenant itself; a caller that opens its own transaction around it must bind the id first (pass it as `tenant_id`),
because the database learns the tenant when a transaction begins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass
from tortoise.exceptions import IntegrityError
from tortoise.expressions import F
from tortoise.transactions import in_transaction
from uuid_utils.compat import uuid7

from tenants.context import bind
from tenants.models import Domain, Membership, Role, Tenant, TenantStatus, User
from tenants.resolver import is_slug
from tenants.scoped_tables import ScopedMeta
from tenants.scoping import TenantModel
from tenants.text import one_line, slug_of

_TRIES = 100  # slugs tried for one name before the id is appended


class SlugInvalid(ValueError):
    """The slug is no DNS label in lower case, or it is reserved."""


class NameInvalid(ValueError):
    """The name is not one line of text; the message is for people."""


class SlugTaken(ValueError):
    """Another tenant has this slug."""


class StatusConflict(ValueError):
    """The tenant's status does not allow this step."""


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class RoleSeed:
    """A role that a new tenant starts with. `title`: the name, when not said."""

    name: str
    title: Annotated[str, AfterValidator(one_line)] = Field(default_factory=lambda data: data["name"])
    permissions: tuple[str, ...] = ()
    all_permission: bool = False


# -- creating -----------------------------------------------------------------------------------------------


async def create(
    name: str,
    plan: str,
    roles: Sequence[RoleSeed],
    *,
    owner: User | None = None,
    slug: str | None = None,
    reserved: Collection[str] = (),
    tenant_id: UUID | None = None,
) -> Tenant:
    """Create a tenant with its roles and, if given, its owner, who gets the first role with all permissions.

    slug: made from the name when None. reserved: slugs that no tenant may have.

    Raises:
        SlugInvalid, SlugTaken: the requested slug is invalid, or taken.
        NameInvalid: the name is not one line of text.
        ValueError: there is an owner, and no role holds all permissions.
    """
    if owner is not None and not any(seed.all_permission for seed in roles):
        raise ValueError("an owner needs a role with all_permission: add one to the roles of new tenants")
    if slug is not None:
        check_slug(slug, reserved)
    try:
        name = one_line(name.strip())
    except ValueError as error:
        raise NameInvalid(str(error)) from None
    tenant_id = tenant_id or uuid7()
    for candidate in (slug,) if slug is not None else slugs_for(name, reserved, tenant_id):
        if await Tenant.exists(slug=candidate):
            continue
        try:
            return await _create(tenant_id, candidate, name=name, plan=plan, roles=roles, owner=owner)
        except IntegrityError:
            if not await Tenant.exists(slug=candidate):
                raise  # it was not about the slug
    raise SlugTaken(f"the slug {slug!r} is taken")


async def _create(
    tenant_id: UUID, slug: str, *, name: str, plan: str, roles: Sequence[RoleSeed], owner: User | None
) -> Tenant:
    with bind(tenant_id):  # before the transaction: see above
        async with in_transaction():
            tenant = await Tenant.create(id=tenant_id, slug=slug, name=name, plan=plan)
            created_roles = [
                await Role.create(
                    name=seed.name,
                    title=seed.title,
                    permissions=sorted(seed.permissions),
                    all_permission=seed.all_permission,
                    built_in=True,
                )
                for seed in roles
            ]
            if owner is not None:
                await Membership.create(user=owner, role=next(role for role in created_roles if role.all_permission))
    return tenant


def check_slug(slug: str, reserved: Collection[str] = ()) -> None:
    """Check that a tenant may have this slug.

    Raises:
        SlugInvalid: it may not; the message says why.
    """
    if not is_slug(slug):
        raise SlugInvalid(f"{slug!r} is no slug: 1 to 63 lower-case letters, digits and inner hyphens")
    if slug in reserved:
        raise SlugInvalid(f"the slug {slug!r} is reserved")


def slugs_for(name: str, reserved: Collection[str], tenant_id: UUID) -> list[str]:
    """Slugs to try for a name, best first; the last carries the id and so is always free."""
    stem = slug_of(name, 50, "tenant")
    numbered = [stem, *(f"{stem}-{number}" for number in range(2, _TRIES))]
    return [slug for slug in numbered if slug not in reserved] + [f"{stem[:30].strip('-')}-{tenant_id.hex}"]


def closed(status: TenantStatus) -> str:
    """Why members have no access: "suspended" or "being deleted"; "" for an active tenant."""
    if status == TenantStatus.ACTIVE:
        return ""
    return "suspended" if status == TenantStatus.SUSPENDED else "being deleted"


# -- changing status ----------------------------------------------------------------------------------------


async def suspend(tenant: Tenant, reason: str) -> None:
    """Close an active tenant to its members, with a reason they will see (500 characters at most).

    Raises:
        StatusConflict: it is not active.
    """
    await _move(tenant, TenantStatus.ACTIVE, TenantStatus.SUSPENDED, reason)


async def resume(tenant: Tenant) -> None:
    """Open a suspended tenant again.

    Raises:
        StatusConflict: it is not suspended.
    """
    await _move(tenant, TenantStatus.SUSPENDED, TenantStatus.ACTIVE)


async def delete(tenant: Tenant, grace: timedelta, reason: str = "") -> None:
    """Close a tenant, to be purged once the `grace` period has passed.

    Raises:
        StatusConflict: it is being deleted already.
    """
    if tenant.status is TenantStatus.DELETING:
        raise StatusConflict(f"tenant {tenant.slug} is being deleted already")
    await _move(tenant, tenant.status, TenantStatus.DELETING, reason, datetime.now(UTC) + grace)


async def restore(tenant: Tenant) -> None:
    """Cancel a deletion during its grace period; the tenant is active afterwards.

    Raises:
        StatusConflict: it is not being deleted.
    """
    await _move(tenant, TenantStatus.DELETING, TenantStatus.ACTIVE)


async def _move(
    tenant: Tenant, before: TenantStatus, after: TenantStatus, reason: str = "", delete_after: datetime | None = None
) -> None:
    changed = await Tenant.filter(id=tenant.id, status=before).update(
        status=after,
        status_reason=reason[:500],
        delete_after=delete_after,
        version=F("version") + 1,
        updated_at=datetime.now(UTC),
    )
    if not changed:
        raise StatusConflict(f"tenant {tenant.slug} is not {before.value}")
    await tenant.refresh_from_db()


# -- purging -------------------------------------------------------------------------------------------------


async def due(now: datetime) -> list[Tenant]:
    """The tenants whose grace period has passed, the longest waiting first."""
    return await Tenant.filter(status=TenantStatus.DELETING, delete_after__lte=now).order_by("delete_after")


async def purge(tenant_id: UUID, models: Sequence[type[TenantModel]]) -> dict[str, int]:
    """Delete for ever all rows of a tenant that is being deleted, then the tenant; rows by table are returned.

    models: every TenantModel of the deployment. Children go before parents. Each table is its own step, not one
    long transaction, and the tenant goes last: when interrupted, purge again. A tenant that does not exist is no error.

    Raises:
        StatusConflict: it is not being deleted.
    """
    tenant = await Tenant.get_or_none(id=tenant_id)
    if tenant is None:
        return {}
    if tenant.status is not TenantStatus.DELETING:
        raise StatusConflict(f"tenant {tenant.slug} is {tenant.status.value}: delete it before it is purged")
    with bind(tenant_id):
        removed = {model._meta.db_table: await model.all().delete() for model in children_first(models)}
    removed["domains"] = await Domain.filter(tenant_id=tenant_id).delete()
    removed["tenants"] = await Tenant.filter(id=tenant_id).delete()
    return removed


def children_first(models: Sequence[type[TenantModel]]) -> list[type[TenantModel]]:
    """The models in an order in which each comes before those it links to; a circle keeps the order given."""
    ordered: list[type[TenantModel]] = []
    visited: set[type[object]] = set()

    def visit(model: type[TenantModel]) -> None:
        if model in visited:
            return
        visited.add(model)
        for other in models:
            if any(link.related is model for link in links[other]):
                visit(other)
        ordered.append(model)

    links = {model: model._meta.links() if isinstance(model._meta, ScopedMeta) else () for model in models}
    for model in models:
        visit(model)
    return ordered
