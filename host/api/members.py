"""`/tenant/members` and `/tenant/invitations`: who belongs here, and who is asked to."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32decode, b32encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr

from host.api.roles import ROLES, effective, refuse_beyond_own
from host.api.tenant import owned_by
from host.contracts import Actor, Created, Page, Query, Row
from host.data.records import Records
from host.errors import Conflict, NotFound, PermissionDenied, PreconditionFailed, ValidationFailed
from host.identity.addresses import normalise
from host.identity.events import InvitationCreated
from host.origin import actor as acting
from host.services import give_back, services, spend, unit_of_work
from host.web.routes import Routes
from tenants.context import bind, current
from tenants.models import Invitation, Membership, Role, Tenant, User

routes = Routes()
MEMBERS = Records(Membership, filters=("role_id", "user_id"), sorts=("created_at",), default_sort="created_at")
INVITATIONS = Records(
    Invitation,
    fields=("id", "email", "role_id", "invited_by", "expires_at", "created_at"),
    filters=("email",),
    sorts=("created_at", "expires_at"),
)


class RoleChange(BaseModel):
    """The role a member is to have."""

    model_config = ConfigDict(extra="forbid")
    role_id: UUID


class NewInvitation(BaseModel):
    """Whom to ask, and the role they will have."""

    model_config = ConfigDict(extra="forbid")
    email: EmailStr
    role_id: UUID


class Acceptance(BaseModel):
    """The token that the invitation's message carried."""

    model_config = ConfigDict(extra="forbid")
    token: str


@routes.get(
    "/tenant/members",
    name="members.list",
    summary="Who belongs to the organisation",
    permission="tenant.members.read",
    listing=MEMBERS,
)
async def list_members(query: Query) -> Page:
    """Members with their person and their role."""
    page = await MEMBERS.page(query)
    return Page(await _with_people(list(page.items)), page.limit, page.next_cursor)


@routes.patch(
    "/tenant/members/<uuid:user_id>",
    name="members.update",
    summary="Give a member another role",
    permission="tenant.members.update",
)
async def update_member(user_id: UUID, body: RoleChange, if_match: int | None) -> Row:
    """Change a member's role; nobody touches a role above their own, and the last owner stays owner."""
    async with unit_of_work() as work:
        member, held = await _locked_member(user_id)
        if if_match is not None and if_match != member.version:
            raise PreconditionFailed
        role = await _role_to_give(body.role_id, "role_id")
        refuse_beyond_own(held["permissions"], held["all_permission"])
        if held["all_permission"] and not role["all_permission"]:
            await _refuse_last_owner(user_id)
        member.role_id, member.version = body.role_id, member.version + 1
        await member.save(update_fields=["role_id", "version"])
        work.record(
            "tenant.members.update", "user", user_id, before={"role": held["name"]}, after={"role": role["name"]}
        )
        work.touch(tenant=current(), user=user_id)
    return (await _with_people([await MEMBERS.get(member.id)]))[0]


@routes.delete(
    "/tenant/members/<uuid:user_id>", name="members.delete", summary="Remove a member, or leave", signed_in=True
)
async def delete_member(user_id: UUID, actor: Actor) -> None:
    """Remove a member; anybody may leave, except the last owner."""
    if actor.user_id != user_id or actor.kind != "user":
        refuse_beyond_own(("tenant.members.delete",), all_permission=False)
    async with unit_of_work() as work:
        member, held = await _locked_member(user_id)
        if actor.user_id != user_id:
            refuse_beyond_own(held["permissions"], held["all_permission"])
        if held["all_permission"]:
            await _refuse_last_owner(user_id)
        await member.delete()
        await give_back("tenant.members")
        work.record("tenant.members.delete", "user", user_id, before={"role": held["name"]})
        work.touch(tenant=current(), user=user_id)


@routes.get(
    "/tenant/invitations",
    name="invitations.list",
    summary="Open invitations",
    permission="tenant.invitations.read",
    listing=INVITATIONS,
    returns=INVITATIONS,
)
async def list_invitations(query: Query) -> Page:
    """Invitations that nobody has accepted yet, the expired ones too."""
    return await INVITATIONS.page(query, accepted_at=None)


@routes.post(
    "/tenant/invitations",
    name="invitations.create",
    summary="Invite somebody",
    permission="tenant.invitations.create",
    returns=INVITATIONS,
)
async def create_invitation(body: NewInvitation) -> Created:
    """Ask somebody to join; the token leaves in a message, or in the answer while no plugin sends messages."""
    email, config = normalise(body.email), services().settings.identity
    token = f"{b32encode(current().bytes).decode().rstrip('=').lower()}.{secrets.token_urlsafe(32)}"
    async with unit_of_work() as work:
        role = await _role_to_give(body.role_id, "role_id")
        person = await User.get_or_none(email=email)
        if person is not None and await Membership.filter(user_id=person.id).exists():
            raise Conflict("They belong to this organisation already.", details={"email": "is a member"})
        await Invitation.filter(email=email, accepted_at=None).delete()
        row = await INVITATIONS.insert(
            email=email,
            role_id=body.role_id,
            token_hash=_hashed(token),
            invited_by=acting().user_id,
            expires_at=datetime.now(UTC) + timedelta(days=config.invitation_days),
        )
        work.record("tenant.invitations.create", "invitation", row["id"], after={"email": email, "role": role["name"]})
        work.announce(InvitationCreated(invitation_id=row["id"], email=email, token=token))
    return Created(row | {"token": token}, f"/tenant/invitations/{row['id']}")


@routes.delete(
    "/tenant/invitations/<uuid:invitation_id>",
    name="invitations.delete",
    summary="Withdraw an invitation",
    permission="tenant.invitations.delete",
)
async def delete_invitation(invitation_id: UUID) -> None:
    """Withdraw an invitation: its token stops working."""
    async with unit_of_work() as work:
        row = await INVITATIONS.remove(invitation_id, accepted_at=None)
        work.record("tenant.invitations.delete", "invitation", invitation_id, before={"email": row["email"]})


@routes.post("/invitations/accept", name="invitations.accept", summary="Join", signed_in=True, needs_tenant=False)
async def accept_invitation(body: Acceptance, actor: Actor) -> Row:
    """Join the organisation that the token is from; the address invited must be the person's own.

    Raises:
        NotFound: no such token, expired, withdrawn or used.
        QuotaExceeded: the organisation's plan has no room for another member.
    """
    user = await owned_by(actor)
    with bind(_tenant_of(body.token)):
        async with unit_of_work() as work:
            found = await Invitation.select_for_update().get_or_none(token_hash=_hashed(body.token), accepted_at=None)
            if found is None or found.expires_at <= datetime.now(UTC):
                raise NotFound("This invitation does not exist any more; ask for a new one.")
            if found.email != user.email:
                raise PermissionDenied("This invitation was sent to another address; sign in with that one.")
            if await Membership.filter(user_id=user.id).exists():
                raise Conflict("You belong to this organisation already.")
            await spend("tenant.members")
            await Membership.create(user_id=user.id, role_id=found.role_id)  # type: ignore[attr-defined]
            found.accepted_at = datetime.now(UTC)
            await found.save(update_fields=["accepted_at"])
            work.record("tenant.members.create", "user", user.id, after={"email": user.email})
            work.touch(tenant=current(), user=user.id)
        tenant = await Tenant.get(id=current())
    return {"id": tenant.id, "slug": tenant.slug, "name": tenant.name}


async def _with_people(rows: list[Row]) -> list[Row]:
    people = await User.filter(id__in=[row["user_id"] for row in rows]).values("id", "email", "name")
    by_id = {each["id"]: each for each in people}
    roles = {each["id"]: each for each in await Role.all().values("id", "name", "title")}
    return [
        {
            "user_id": row["user_id"],
            "email": by_id[row["user_id"]]["email"],
            "name": by_id[row["user_id"]]["name"],
            "role": roles[row["role_id"]],
            "version": row["version"],
            "created_at": row["created_at"],
        }
        for row in rows
    ]


async def _locked_member(user_id: UUID) -> tuple[Membership, Row]:
    member = await Membership.select_for_update().get_or_none(user_id=user_id)
    if member is None:
        raise NotFound
    return member, effective(await ROLES.get(member.role_id))  # type: ignore[attr-defined]


async def _role_to_give(role_id: UUID, field: str) -> Row:
    role: dict[str, Any] | None = await ROLES.find(id=role_id)
    if role is None:
        raise ValidationFailed(details={field: "there is no such role"})
    role = effective(role)
    refuse_beyond_own(role["permissions"], role["all_permission"])
    return role


async def _refuse_last_owner(user_id: UUID) -> None:
    owners = await Role.filter(all_permission=True).values_list("id", flat=True)
    others = await Membership.select_for_update().filter(role_id__in=owners).values_list("user_id", flat=True)
    if not set(others) - {user_id}:
        raise Conflict("The last owner cannot leave or be given another role; make somebody else owner first.")


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _tenant_of(token: str) -> UUID:
    try:
        head = token.split(".", 1)[0].upper()
        return UUID(bytes=b32decode(head + "=" * (-len(head) % 8)))
    except (ValueError, IndexError) as error:
        raise NotFound("This invitation does not exist any more; ask for a new one.") from error
