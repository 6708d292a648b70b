"""`/tenant/members` and `/tenant/invitations` endpoints: list, change, remove and invite members."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr

from host.api.tenant import owned_by
from host.contracts import Actor, Created, Page, Query, Row
from host.data.records import Records
from host.errors import PreconditionFailed
from host.membership import invitations, members
from host.membership.invitations import INVITATIONS, role_to_give
from host.membership.members import changing_members, member_of, remove_member, set_role
from host.membership.people import refuse_beyond_own, refuse_role_beyond_own
from host.services import unit_of_work
from host.web.routes import Routes
from tenants.models import Membership, Role, User

routes = Routes()
MEMBERS = Records(Membership, filters=("role_id", "user_id"), sorts=("created_at",), default_sort="created_at")


class RoleChange(BaseModel):
    """The role a member is to have."""

    model_config = ConfigDict(extra="forbid")
    role_id: UUID


class MemberRole(BaseModel):
    """A member's role, with its title for people."""

    id: UUID
    name: str
    title: str


class Member(BaseModel):
    """A member of the organisation."""

    user_id: UUID
    email: str
    name: str
    role: MemberRole
    version: int
    created_at: datetime


class NewInvitation(BaseModel):
    """The e-mail address to invite, and the role that the person will have."""

    model_config = ConfigDict(extra="forbid")
    email: EmailStr
    role_id: UUID


class OpenInvitation(BaseModel):
    """An invitation not accepted yet. `expired`: no longer works, and does not count against the plan's limit."""

    id: UUID
    email: str
    role_id: UUID
    invited_by: UUID | None
    expires_at: datetime
    expired: bool
    created_at: datetime


class MadeInvitation(OpenInvitation):
    """A new invitation with its token, which is shown only in this answer."""

    token: str


class Acceptance(BaseModel):
    """The token from the invitation's message."""

    model_config = ConfigDict(extra="forbid")
    token: str


@routes.get("/tenant/members", name="members.list", permission="tenant.members.read", listing=MEMBERS, returns=Member)
async def list_members(query: Query) -> Page:
    """The organisation's members with their e-mail address, name and role."""
    page = await MEMBERS.page(query)
    return Page(await _with_people(list(page.items)), page.limit, page.next_cursor)


@routes.patch(
    "/tenant/members/<uuid:user_id>", name="members.update", permission="tenant.members.update", returns=Member
)
async def update_member(user_id: UUID, body: RoleChange, if_match: int | None) -> Row:
    """Give a member another role.

    Change a member's role; nobody changes a member whose role exceeds theirs, and the last owner stays owner.
    """
    async with changing_members():
        member = await member_of(user_id)
        if if_match is not None and if_match != member.version:
            raise PreconditionFailed
        role = await role_to_give(body.role_id)
        refuse_role_beyond_own(member.role)
        await set_role(member, role)
    return (await _with_people([await MEMBERS.get(member.id)]))[0]


@routes.delete("/tenant/members/<uuid:user_id>", name="members.delete", signed_in=True)
async def delete_member(user_id: UUID, actor: Actor) -> None:
    """Remove a member; anybody may leave, except the last owner. Their API keys and open invitations end too."""
    leaving = actor.user_id == user_id and actor.kind == "user"
    if not leaving:
        refuse_beyond_own(("tenant.members.delete",))
    async with changing_members():
        member = await member_of(user_id)
        if not leaving:
            refuse_role_beyond_own(member.role)
        await remove_member(member)


@routes.get(
    "/tenant/invitations",
    name="invitations.list",
    permission="tenant.invitations.read",
    listing=INVITATIONS,
    returns=OpenInvitation,
)
async def list_invitations(query: Query) -> Page:
    """Open invitations.

    Invitations that nobody has accepted yet; an expired one cannot be renewed, only sent anew.
    """
    page = await INVITATIONS.page(query)
    return Page([_shape(row) for row in page.items], page.limit, page.next_cursor)


@routes.post(
    "/tenant/invitations",
    name="invitations.create",
    permission="tenant.invitations.create",
    returns=MadeInvitation,
    limits=(members.LIMIT, invitations.RATE, invitations.RATE_PER_ADDRESS),
)
async def create_invitation(body: NewInvitation) -> Created:
    """Invite somebody.

    Invite somebody; the token is sent in a message, or is in the answer while no plugin sends messages.

    An open invitation counts against the plan's members; another one to the same address replaces it.
    """
    row, token = await invitations.invite_by_actor(body.email, body.role_id)
    return Created(_shape(row) | {"token": token}, f"/tenant/invitations/{row['id']}")


@routes.delete(
    "/tenant/invitations/<uuid:invitation_id>", name="invitations.delete", permission="tenant.invitations.delete"
)
async def delete_invitation(invitation_id: UUID) -> None:
    """Withdraw an invitation: its token stops working."""
    async with unit_of_work() as work:
        row = await INVITATIONS.remove(invitation_id)
        work.record("tenant.invitations.delete", "invitation", invitation_id, before={"email": row["email"]})


@routes.post("/invitations/accept", name="invitations.accept", signed_in=True, needs_tenant=False)
async def accept_invitation(body: Acceptance, actor: Actor) -> Row:
    """Join the organisation of an invitation; the invited address must be the person's own.

    Raises:
        NotFound: the token is unknown, expired, withdrawn or used, or its inviter could not give that role now.
        TenantSuspended: the organisation is suspended.
        QuotaExceeded: the organisation's plan allows no further member.
    """
    tenant = await invitations.accept(body.token, await owned_by(actor))
    return {"id": tenant.id, "slug": tenant.slug, "name": tenant.name}


def _shape(invitation: Row) -> Row:
    return invitation | {"expired": invitation["expires_at"] <= datetime.now(UTC)}


async def _with_people(rows: list[Row]) -> list[Row]:
    people = await User.filter(id__in=[row["user_id"] for row in rows]).values("id", "email", "name")
    by_id = {person["id"]: person for person in people}
    roles = {role["id"]: role for role in await Role.all().values("id", "name", "title")}
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
