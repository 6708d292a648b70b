"""The people of the bound tenant: who they are, what they stand for, and what they may do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from tortoise.expressions import Q

from host.contracts import Actor
from host.errors import ConfigurationError, NotFound, PermissionDenied
from host.execution_context import actor, grants, principals
from host.input_errors import nearest
from host.membership.members import grants_of, permissions_of
from host.services import services, tenant_snapshot
from tenants.access import Grants
from tenants.context import current
from tenants.models import Membership, Role
from tenants.text import cut_to_line

LEVELS = ("read", "write", "manage")
"""The levels at which something is shared, lowest first.

Example:
    class NewShare(BaseModel):
        level: Literal["read", "write", "manage"] = LEVELS[0]
"""

_MOST = 1000
_NO_RESOURCE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Member:
    """A person of an organisation. role: its name. locale: BCP 47; empty: the deployment's.

    Example:
        def label(member: Member) -> str:
            return f"{member.name} <{member.email}>"
    """

    user_id: UUID
    name: str
    email: str
    role: str
    locale: str


def level(shares: Iterable[tuple[str, str]], levels: Sequence[str] = LEVELS) -> str:
    """The highest level at which something is shared with the actor; "" where it is not.

    shares: pairs of principal and level, such as `("team:3f…", "write")`. Jobs and commands have the highest.

    Example:
        if level([(share.principal, share.level) for share in shares]) != "manage":
            raise NotFound
    """
    mine = principals()
    if mine is None:
        return levels[-1]
    held = [levels.index(each) for principal, each in shares if principal in mine and each in levels]
    return levels[max(held)] if held else ""


async def may(user_id: UUID, permission: str, resource: Mapping[str, str] = _NO_RESOURCE) -> bool:
    """Whether a person, who is not the one asking, may use a permission now: their rights and every plugin's veto.

    resource: as a route's path parameters name it, such as `{"project_id": "…"}`.

    Raises:
        ConfigurationError: nothing declares the permission.

    Example:
        if await may(user_id, "notes.notes.read"):
            readers.append(user_id)
    """
    declared = services().permissions
    if permission not in declared:
        near = nearest(permission, tuple(declared))
        raise ConfigurationError(f"nothing declares a permission {permission!r}: correct it.{near}")
    try:
        person, held = await rights_of(user_id)
    except NotFound:
        return False
    return (await services().access.decide(person, held, await tenant_snapshot(), permission, resource)).allowed


async def rights_of(user_id: UUID) -> tuple[Actor, Grants]:
    """A member as the actor of their requests, and their permissions.

    Raises:
        NotFound: they do not belong to the bound tenant, or their account is disabled.
    """
    member = await services().snapshots.member(current(), user_id, None, None)
    if member is None or member.grants is None or member.disabled:
        raise NotFound
    return Actor("user", user_id, member.email, user_id), member.grants


async def principals_of(user_id: UUID) -> frozenset[str]:
    """What a member of the bound tenant stands for where something is shared; empty for others.

    Example:
        theirs = await principals_of(user_id)
    """
    member = await services().snapshots.member(current(), user_id, None, None)
    return member.principals if member is not None and not member.disabled else frozenset()


async def is_allowed(permission: str, resource: Mapping[str, str] = _NO_RESOURCE) -> bool:
    """Whether the actor may use a permission, by their rights here and every plugin's veto; jobs and commands may.

    For rules that a route's own permission cannot say, such as "its author, or who may change every note". resource:
    as a route's path parameters name it.

    Example:
        if note["created_by"] != actor().user_id and not await is_allowed("notes.notes.update"):
            raise PermissionDenied("Only its author changes a note.")
    """
    if principals() is None:
        return True
    decision = await services().access.decide(actor(), grants(), await tenant_snapshot(), permission, resource)
    return decision.allowed


async def roles(ids: Collection[UUID]) -> dict[UUID, Grants]:
    """What the roles of the bound tenant among these ids hold; a role that is gone, or was never here, is missing.

    Example:
        held = (await roles([role_id]))[role_id]
        refuse_beyond_own(held.permissions, held.all_permission)
    """
    return {role.id: grants_of(role) for role in await Role.filter(id__in=list(ids))} if ids else {}


def refuse_beyond_own(permissions: Iterable[str], all_permission: bool = False) -> None:
    """Refuse to let the actor give permissions that they lack; jobs and commands may give any.

    Raises:
        PermissionDenied: the actor lacks one of the permissions, or `all_permission`.

    Example:
        refuse_beyond_own({"notes.notes.delete"})
    """
    if principals() is None:
        return
    if lacking := grants().lacking(permissions, all_permission=all_permission):
        raise PermissionDenied("You cannot grant permissions that you lack.", details={"lacking": list(lacking)})


def refuse_role_beyond_own(role: Role) -> None:
    """Refuse to let the actor give a role, or change its holder, that may do more than they may.

    Raises:
        PermissionDenied: the role holds a permission that the actor lacks.
    """
    refuse_beyond_own(permissions_of(role.name, role.permissions, role.built_in), role.all_permission)


async def people(ids: Collection[UUID]) -> dict[UUID, Member]:
    """The members of the bound tenant among these ids, 1,000 at most; who has left, or was never here, is missing.

    Example:
        names = await people({note["created_by"] for note in notes})
    """
    if len(ids) > _MOST:
        raise ValueError(f"ask for {_MOST} people at a time, not {len(ids)}")
    return {member.user_id: member for member in await _read(Q(user_id__in=list(ids)), len(ids))} if ids else {}


async def members(
    after: UUID | None = None, limit: int = 100, principals: Collection[str] | None = None
) -> list[Member]:
    """The next members of the bound tenant in the order of their ids, for work through all of them in pieces.

    after: the last id of the piece before. principals: only those who stand for one of these.

        batch = await members(after, 500, ["team:3f…", "role:9c…"])

    Raises:
        RuntimeError: a plugin could not say who stands for a principal of its own.

    Example:
        everybody = await members()
    """
    where = Q(user_id__gt=after) if after is not None else Q()
    if principals is not None and "org" not in principals:
        where &= await _standing_for(principals)
    return await _read(where, min(limit, _MOST))


async def principal_names(principals: Collection[str]) -> dict[str, str]:
    """The names, for people to read, of principals: a person's, a role's, the organisation's, and those of plugins.

    What does not exist any more is missing.

    Example:
        names = await principal_names({share["principal"] for share in shares})
    """
    tenant = await tenant_snapshot()
    persons = await people(_ids(principals, "user"))
    named = {f"user:{user_id}": member.name or member.email for user_id, member in persons.items()}
    roles = await Role.filter(id__in=_ids(principals, "role")).values("id", "name", "title")
    named |= {f"role:{role['id']}": role["title"] or role["name"] for role in roles}
    named |= {"org": tenant.name} if "org" in principals else {}
    rest = [each for each in principals if each not in named and not each.startswith(("user:", "role:"))]
    return named | (await services().access.names_of(tenant, rest) if rest else {})


async def _standing_for(principals: Collection[str]) -> Q:
    own = Q(user_id__in=_ids(principals, "user")) | Q(role_id__in=_ids(principals, "role"))
    rest = [each for each in principals if not each.startswith(("user:", "role:"))]
    if not rest:
        return own
    return own | Q(user_id__in=list(await services().access.people_of(await tenant_snapshot(), rest)))


def _ids(principals: Collection[str], kind: str) -> list[UUID]:
    ids = []
    for principal in principals:
        if principal.startswith(f"{kind}:"):
            try:
                ids.append(UUID(principal.partition(":")[2]))
            except ValueError:
                continue  # stands for nobody
    return ids


async def _read(where: Q, limit: int) -> list[Member]:
    rows = Membership.filter(where, user__disabled_at=None).select_related("user", "role").order_by("user_id")
    return [
        Member(row.user.id, cut_to_line(row.user.name), row.user.email, row.role.name, row.user.locale)
        for row in await rows.limit(limit)
    ]
