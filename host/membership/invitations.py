"""Invite a person to a tenant by mail address, and accept an invitation by its token."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32decode, b32encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

from host.contracts import Row
from host.data.records import Records
from host.errors import Conflict, NotFound, PermissionDenied, ValidationFailed
from host.execution_context import actor
from host.identity.addresses import normalise
from host.identity.events import InvitationCreated
from host.membership.members import LIMIT, add_member, changing_members, grants_of
from host.membership.people import refuse_beyond_own, refuse_role_beyond_own
from host.plan_limits import allow, limit_value, spend
from host.services import refuse_closed, services, unit_of_work
from tenants.context import bind, current
from tenants.locking import lock_tenant
from tenants.models import Invitation, Membership, Role, Tenant, User

RATE, RATE_PER_ADDRESS = "tenant.invitations", "tenant.invitations_per_address"
MAY_INVITE = "tenant.invitations.create"

INVITATIONS = Records(
    Invitation,
    fields=("id", "email", "role_id", "invited_by", "expires_at", "created_at"),
    filters=("email",),
    sorts=("created_at", "expires_at"),
)


async def invite(email: str, role: Role) -> tuple[Row, str]:
    """Invite a person to the bound tenant, replacing an earlier invitation; its row and its token.

    email: normalised. The caller has checked that the actor may give the role.

    Raises:
        Conflict: they are a member. QuotaExceeded: members and open invitations are as many as the plan allows.
        TenantSuspended: the tenant is not open.
    """
    token = f"{b32encode(current().bytes).decode().rstrip('=').lower()}.{secrets.token_urlsafe(32)}"
    async with unit_of_work() as work:
        refuse_closed(await lock_tenant())
        if await Membership.filter(user__email=email).exists():
            raise Conflict("They belong to this organisation already.", details={"email": "is a member"})
        await Invitation.filter(email=email).delete()
        await spend(LIMIT)
        row = await INVITATIONS.insert(
            email=email,
            role_id=role.id,
            token_hash=_hashed(token),
            invited_by=actor().user_id,
            expires_at=datetime.now(UTC) + timedelta(days=services().settings.identity.invitation_days),
        )
        work.record("tenant.invitations.create", "invitation", row["id"], after={"email": email, "role": role.name})
        work.announce(InvitationCreated(invitation_id=row["id"], email=email, token=token))
    return row, token


async def role_to_give(role_id: UUID, field: str = "role_id") -> Role:
    """A role of the bound tenant that the actor may give.

    Raises:
        ValidationFailed: there is no such role. PermissionDenied: it may do more than the actor.
    """
    role = await Role.get_or_none(id=role_id)
    if role is None:
        raise ValidationFailed(details={field: "there is no such role"})
    refuse_role_beyond_own(role)
    return role


async def invite_by_actor(email: str, role_id: UUID) -> tuple[Row, str]:
    """Invite a person in the actor's name: what they may not give and the plan's rates are refused.

    Raises:
        PermissionDenied: the actor may not invite, or not with this role. RateLimited: too many invitations.
        ValidationFailed: the address or the role is none. What `invite` raises.

    Example:
        invitation, token = await invite("ada@example.com", role_id)
    """
    refuse_beyond_own((MAY_INVITE,))
    address = normalise(email)
    await allow(RATE_PER_ADDRESS, address)
    await allow(RATE)
    async with unit_of_work():
        return await invite(address, await role_to_give(role_id))


async def accept(token: str, user: User) -> Tenant:
    """Accept the invitation with this token.

    Raises:
        NotFound: there is no such token, it has expired, was used or withdrawn, or whoever invited could not give
            that role any more. PermissionDenied: it was sent to another address. Conflict: they are a member.
        TenantSuspended: the tenant is not open. QuotaExceeded: the plan allows no further member.
    """
    with bind(_tenant_of(token)):
        if await Invitation.get_or_none(token_hash=_hashed(token)) is None:
            raise _gone()
        async with changing_members():
            invitation = await Invitation.get_or_none(token_hash=_hashed(token)).select_related("role")
            if invitation is None or invitation.expires_at <= datetime.now(UTC) or not await _still_good(invitation):
                raise _gone()
            if invitation.email != user.email:
                raise PermissionDenied("This invitation was sent to another address; sign in with that one.")
            members, (value, _) = await Membership.all().count(), await limit_value(LIMIT)
            # members only: the invitation itself was counted when it was made
            services().quotas.refuse_beyond(LIMIT, value, members, 1)
            await add_member(user, invitation.role, invited_by=invitation.invited_by, invitation_id=invitation.id)
        return await Tenant.get(id=current())


async def _still_good(invitation: Invitation) -> bool:
    """Whether the inviter could still give this role today; always True where no person invited."""
    if invitation.invited_by is None:
        return True
    inviter = await services().snapshots.member(current(), invitation.invited_by, None, None)
    if inviter is None or inviter.disabled or inviter.grants is None:
        return False
    offered = grants_of(invitation.role)
    return not inviter.grants.lacking({MAY_INVITE, *offered.permissions}, all_permission=offered.all_permission)


def _gone() -> NotFound:
    return NotFound("This invitation does not exist any more; ask for a new one.")


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _tenant_of(token: str) -> UUID:
    try:
        head = token.split(".", 1)[0].upper()
        return UUID(bytes=b32decode(head + "=" * (-len(head) % 8)))
    except (ValueError, IndexError) as error:
        raise _gone() from error
