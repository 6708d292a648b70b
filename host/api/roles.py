"""`/tenant/roles` and `/tenant/permissions` endpoints: manage roles; nobody grants permissions they lack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from tortoise.exceptions import IntegrityError

from host.contracts import Created, Page, Query, Row
from host.data.records import Records
from host.errors import Conflict, ValidationFailed
from host.execution_context import grants
from host.input_errors import TextForm
from host.input_types import Title
from host.membership.members import changing_members, permissions_of, withdraw
from host.membership.people import refuse_beyond_own
from host.provisioning import provisioning
from host.registry.kinds import PERMISSIONS
from host.services import tenant_snapshot, unit_of_work
from host.web.routes import Routes
from tenants.context import current
from tenants.models import Membership, Role

routes = Routes()
ROLES = Records(Role, filters=("name", "built_in"), sorts=("name", "created_at"), default_sort="created_at")
RoleName = Annotated[str, TextForm(r"[a-z][a-z0-9_-]{0,62}", "1 to 63 lower-case letters, digits, - and _")]


class NewRole(BaseModel):
    """A role to create in the organisation."""

    model_config = ConfigDict(extra="forbid")
    name: RoleName
    title: Title = ""
    permissions: Annotated[list[str], Field(max_length=1000)] = []
    all_permission: bool = False


class RoleChanges(BaseModel):
    """Changes to a role; a field left out stays."""

    model_config = ConfigDict(extra="forbid")
    title: Title | None = None
    permissions: Annotated[list[str], Field(max_length=1000)] | None = None
    all_permission: bool | None = None


def effective(row: Row) -> Row:
    """A role as the API shows it; built-in ones include the permissions that the loaded plugins give them."""
    if row["built_in"]:
        return row | {"permissions": sorted(permissions_of(row["name"], row["permissions"], built_in=True))}
    return row


def refuse_unknown(permissions: Iterable[str]) -> None:
    """Raise ValidationFailed for a permission that neither the host nor a plugin declares."""
    declared = provisioning().registry.catalog.named(PERMISSIONS)
    unknown = sorted(permission for permission in permissions if permission not in declared)
    if unknown:
        raise ValidationFailed(details={"permissions": f"nothing here declares {', '.join(unknown)}"})


@routes.get("/tenant/roles", name="roles.list", permission="tenant.roles.read", listing=ROLES)
async def list_roles(query: Query) -> Page:
    """The organisation's roles."""
    page = await ROLES.page(query)
    return Page([effective(row) for row in page.items], page.limit, page.next_cursor)


@routes.post("/tenant/roles", name="roles.create", permission="tenant.roles.create", returns=ROLES)
async def create_role(body: NewRole) -> Created:
    """Create a role from permissions that its maker holds."""
    refuse_unknown(body.permissions)
    refuse_beyond_own(body.permissions, body.all_permission)
    values = body.model_dump() | {"permissions": sorted(set(body.permissions))}
    try:
        async with unit_of_work() as work:
            row = await ROLES.insert(**values)
            work.record("tenant.roles.create", "role", row["id"], after=values)
    except IntegrityError as error:
        raise Conflict(f"There is a role {body.name!r} already.", details={"name": "taken"}) from error
    return Created(row, f"/tenant/roles/{row['id']}")


@routes.patch("/tenant/roles/<uuid:role_id>", name="roles.update", permission="tenant.roles.update", returns=ROLES)
async def update_role(role_id: UUID, body: RoleChanges, if_match: int | None) -> Row:
    """Change a role.

    Change a role of the organisation's own; who holds it has the new permissions within a second.

    The last role that its owners hold keeps `all_permission`.
    """
    changes = body.model_dump(exclude_none=True)
    async with changing_members() as work:
        role = effective(await ROLES.get(role_id))
        _refuse_built_in(role)
        refuse_beyond_own(role["permissions"], role["all_permission"])
        refuse_unknown(changes.get("permissions", ()))
        refuse_beyond_own(changes.get("permissions", ()), changes.get("all_permission", False))
        change = await ROLES.change(role_id, changes, version=if_match)
        work.record("tenant.roles.update", "role", role_id, before=change.changed_before, after=change.changed_after)
        work.touch(tenant=current())
    return change.after


@routes.delete("/tenant/roles/<uuid:role_id>", name="roles.delete", permission="tenant.roles.delete")
async def delete_role(role_id: UUID, if_match: int | None) -> None:
    """Delete a role that nobody holds; open invitations with it are withdrawn."""
    async with changing_members() as work:
        role = await ROLES.get(role_id)
        _refuse_built_in(role)
        refuse_beyond_own(role["permissions"], role["all_permission"])
        if await Membership.filter(role_id=role_id).exists():
            raise Conflict("Members hold this role; give them another one first.")
        await withdraw(role_id=role_id)
        await ROLES.remove(role_id, version=if_match)
        work.record("tenant.roles.delete", "role", role_id, before={"name": role["name"]})


@routes.get("/tenant/permissions", name="permissions.list", permission="tenant.roles.read")
async def list_permissions() -> list[Row]:
    """Permissions that a role may hold.

    Every permission of the host and of the plugins that are on, with whether the caller holds it.
    """
    registry, held = provisioning().registry, grants()
    active = registry.feature_gate.active(await tenant_snapshot())
    owner = registry.catalog.owners(PERMISSIONS)
    return [
        {"name": entry.name, "summary": entry.summary, "plugin": owner[entry.name], "held": held.allows(entry.name)}
        for entry in registry.catalog.named(PERMISSIONS).values()
        if owner[entry.name] in active
    ]


def _refuse_built_in(role: Row) -> None:
    if role["built_in"]:
        raise Conflict(f"{role['name']} is a built-in role; make a role of your own and change that.")
