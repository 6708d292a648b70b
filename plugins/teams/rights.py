"""What people stand for and may do through their teams, and what nobody may give beyond their own rights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from uuid import UUID

from tortoise.expressions import Q

from host.sdk import Grant, ValidationFailed, refuse_beyond_own, roles

from .models import Team, TeamClosure, TeamMember
from .tree import ancestors_of, descendants_of

MOST_TEAMS = 200
"""Through how many teams, those above included, a person may have rights: the host takes no more principals."""

_KIND = "team:"


async def principals_of(user_id: UUID) -> list[str]:
    """`team:<id>` for each team of a person and each team above it."""
    return [f"{_KIND}{team_id}" for team_id in await _teams_of(user_id)]


async def grants_of(user_id: UUID) -> list[Grant]:
    """What the roles of a person's teams, and of those above, permit; never `all_permission`."""
    through = await _teams_of(user_id)
    teams = (
        await Team.filter(id__in=list(through), role_id__isnull=False).order_by("id").values("id", "name", "role_id")
    )
    held = await roles({team["role_id"] for team in teams})
    names = {row["id"]: row["name"] for row in await Team.filter(id__in=list(through.values())).values("id", "name")}
    grants = []
    for team in teams:
        if (role := held.get(team["role_id"])) is not None:
            own = through[team["id"]]
            path = "" if own == team["id"] else f", to which {names[own]} belongs,"
            grants.append(Grant(f"The role {role.role} of the team {team['name']}{path}", role.permissions))
    return grants


async def people_of(principals: Collection[str]) -> set[UUID]:
    """The people in the teams among these principals, and in the teams below them."""
    teams = await descendants_of(_ids(principals))
    rows = await TeamMember.filter(_lasting(), team_id__in=list(teams)).values("user_id")
    return {row["user_id"] for row in rows}


async def names_of(principals: Collection[str]) -> Mapping[str, str]:
    """The names of the teams among these principals."""
    rows = await Team.filter(id__in=_ids(principals)).values("id", "name")
    return {f"{_KIND}{row['id']}": row["name"] for row in rows}


async def refuse_team_beyond_own(team_id: UUID) -> None:
    """Refuse to let the actor bring people into a team that, with those above it, may do more than they may.

    Raises:
        PermissionDenied: the actor lacks what one of the teams' roles permits.
    """
    given = await Team.filter(id__in=await ancestors_of(team_id), role_id__isnull=False).values("role_id")
    for role in (await roles({row["role_id"] for row in given})).values():
        refuse_beyond_own(role.permissions)


async def ensure_role(role_id: UUID) -> None:
    """Check that the actor may give this role to a team.

    Raises:
        ValidationFailed: there is no such role, or it may do everything.
        PermissionDenied: it permits what the actor lacks.
    """
    role = (await roles([role_id])).get(role_id)
    if role is None:
        raise ValidationFailed(details={"role_id": "This organisation has no such role."})
    if role.all_permission:
        raise ValidationFailed(details={"role_id": "A role that may do everything cannot be given to a team."})
    refuse_beyond_own(role.permissions)


async def teams_through(user_id: UUID, team_id: UUID) -> int:
    """Through how many teams a person would have rights as a member of this one, too."""
    return len({*await _teams_of(user_id), *await ancestors_of(team_id)})


async def _teams_of(user_id: UUID) -> dict[UUID, UUID]:
    """Each team of a person and each above it, with the person's own team that leads there; the nearest first."""
    mine = await TeamMember.filter(_lasting(), user_id=user_id).values("team_id")
    rows = TeamClosure.filter(descendant_id__in=[row["team_id"] for row in mine]).order_by("depth", "ancestor_id")
    through: dict[UUID, UUID] = {}
    for row in await rows.values("ancestor_id", "descendant_id") if mine else ():
        through.setdefault(row["ancestor_id"], row["descendant_id"])
    return dict(list(through.items())[:MOST_TEAMS])


def _lasting() -> Q:
    return Q(ends_at__isnull=True) | Q(ends_at__gt=datetime.now(UTC))


def _ids(principals: Collection[str]) -> list[UUID]:
    ids = []
    for principal in principals:
        kind, _, text = principal.partition(":")
        try:
            ids += [UUID(text)] if f"{kind}:" == _KIND else []
        except ValueError:
            continue  # stands for nobody
    return ids
