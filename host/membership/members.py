"""Add, change and remove members of a tenant, one change at a time, so that an owner always remains."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from tortoise.queryset import QuerySet

from host.data.transactions import UnitOfWork
from host.errors import Conflict, NotFound, ValidationFailed
from host.execution_context import actor
from host.identity.addresses import normalise
from host.identity.api_keys import end_keys_of
from host.membership.events import MemberJoined, MemberLeft, MemberRoleChanged
from host.services import refuse_closed, services, unit_of_work
from tenants.access import Grants
from tenants.context import bind, current
from tenants.locking import lock_tenant
from tenants.models import Invitation, Membership, Role, Tenant, User

LIMIT = "tenant.members"


@asynccontextmanager
async def changing_members() -> AsyncIterator[UnitOfWork]:
    """A unit of work that may write roles or memberships of the bound tenant; every such change must use it.

    Two for the same tenant run one after the other, so what is read inside stays true until the end.

    Raises:
        Conflict: the change would leave the tenant without an owner.
    """
    async with unit_of_work() as work:
        await lock_tenant()
        owned = await owners().exists()
        yield work
        if owned and not await owners().exists():
            raise Conflict(
                "The organisation would be left without an owner: somebody whose role may do everything, and whose "
                "account is not disabled. Make somebody else owner first."
            )


def owners() -> QuerySet[Membership]:
    """The memberships of the bound tenant's owners whose account is not disabled, the oldest first."""
    return Membership.filter(role__all_permission=True, user__disabled_at=None).order_by("created_at", "id")


async def owner_ids() -> list[UUID]:
    """The user ids of the bound tenant's owners, the longest-serving first.

    Example:
        heir = (await owner_ids())[0]
    """
    return [each.user_id for each in await owners()]  # type: ignore[attr-defined]


async def places_taken() -> int:
    """How much of the plan's member limit is used: members and open invitations."""
    return await Membership.all().count() + await Invitation.filter(expires_at__gt=datetime.now(UTC)).count()


def permissions_of(name: str, permissions: list[str], built_in: bool) -> frozenset[str]:
    """The permissions of a role: its own, and for a built-in role also those that loaded plugins give it."""
    from_plugins = services().role_permissions.get(name, frozenset()) if built_in else frozenset()
    return frozenset(permissions) | from_plugins


def grants_of(role: Role) -> Grants:
    """The permissions of a role, as `Grants`."""
    return Grants(permissions_of(role.name, role.permissions, role.built_in), role.all_permission, role.name)


async def member_of(user_id: UUID) -> Membership:
    """A person's membership in the bound tenant, with user and role loaded.

    Raises:
        NotFound: they are not a member.
    """
    member = await Membership.get_or_none(user_id=user_id).select_related("user", "role")
    if member is None:
        raise NotFound
    return member


async def add_member(
    user: User, role: Role, *, invited_by: UUID | None = None, invitation_id: UUID | None = None
) -> Membership:
    """Make a person a member of the bound tenant, and delete open invitations to their address.

    invitation_id: the invitation they accepted.

    Raises:
        TenantSuspended: the tenant is not open. Conflict: they are a member.
    """
    async with changing_members() as work:
        refuse_closed(await Tenant.get(id=current()))
        if await Membership.filter(user_id=user.id).exists():
            raise Conflict("They belong to this organisation already.", details={"email": "is a member"})
        member = await Membership.create(user=user, role=role)
        await withdraw(email=user.email)
        accepted = {} if invitation_id is None else {"invitation_id": str(invitation_id)}
        joined = {"email": user.email, "role": role.name, **accepted}
        work.record("tenant.members.create", "user", user.id, after=joined)
        work.announce(MemberJoined(user_id=user.id, role=role.name, invited_by=invited_by, invitation_id=invitation_id))
        work.touch(tenant=current(), user=user.id)
    return member


async def set_role(member: Membership, role: Role) -> None:
    """Give a member another role, which also bounds their API keys and open invitations.

    Raises:
        Conflict: they are the last owner.
    """
    before = member.role
    if before.id == role.id:
        return
    async with changing_members() as work:
        member.role, member.version = role, member.version + 1
        await member.save(update_fields=["role_id", "version"])
        user_id = member.user.id
        work.record("tenant.members.update", "user", user_id, before={"role": before.name}, after={"role": role.name})
        work.announce(
            MemberRoleChanged(user_id=user_id, before=before.name, after=role.name, changed_by=actor().user_id)
        )
        work.touch(tenant=current(), user=user_id)


async def remove_member(member: Membership) -> None:
    """Remove a person from the bound tenant, with their API keys and the invitations they made.

    Raises:
        Conflict: they are the last owner.
    """
    async with changing_members() as work:
        user, role = member.user, member.role
        await member.delete()
        await end_keys_of(user.id)
        await withdraw(invited_by=user.id)
        await withdraw(email=user.email)
        work.record("tenant.members.delete", "user", user.id, before={"role": role.name})
        work.announce(MemberLeft(user_id=user.id, role=role.name, removed_by=actor().user_id))
        work.touch(tenant=current(), user=user.id)


async def withdraw(**where: object) -> None:
    """Delete the invitations of the bound tenant whose columns equal `where`; each is recorded."""
    async with unit_of_work() as work:
        for invitation in await Invitation.filter(**where):
            await invitation.delete()
            work.record("tenant.invitations.delete", "invitation", invitation.id, before={"email": invitation.email})


# -- owners, by operators --------------------------------------------------------------------------------


async def proven_person(email: str, field: str = "email") -> User:
    """The user with this address, which must be verified before an operator may make them owner by address.

    Raises:
        ValidationFailed: nobody has it, it is not proved, or the account is disabled.
    """
    user = await User.get_or_none(email=normalise(email, field=field))
    if user is None:
        raise ValidationFailed(details={field: "nobody has an account with this address"})
    if user.email_verified_at is None:
        raise ValidationFailed(details={field: "this account has not proved its address yet; have it verified first"})
    if user.disabled_at is not None:
        raise ValidationFailed(details={field: "this account is disabled"})
    return user


async def appoint_owner(tenant_id: UUID, email: str) -> Membership:
    """Make a person owner of a tenant, even if it has none yet; other owners stay, and the member limit is not checked.

    Raises:
        ValidationFailed: the address is nobody's, or not proved. TenantSuspended: the tenant is not open.
        Conflict: no role of the tenant may do everything.
    """
    user = await proven_person(email)
    with bind(tenant_id):
        async with changing_members():
            role = await Role.filter(all_permission=True).order_by("-built_in", "created_at", "id").first()
            if role is None:
                raise Conflict("No role of this organisation may do everything, so nobody can become its owner.")
            member = await Membership.get_or_none(user_id=user.id).select_related("user", "role")
            if member is None:
                member = await add_member(user, role)
            elif not member.role.all_permission:
                refuse_closed(await Tenant.get(id=tenant_id))
                await set_role(member, role)
    return member
