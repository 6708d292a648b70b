"""HTTP endpoints of teams and their members."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, StringConstraints

from host.sdk import Created, Name, Page, Permission, Query, Routes, Row, TextForm, Unauthenticated, actor, allow

from . import people, service
from .models import TeamRole, Visibility
from .service import MEMBERS, RATE, TEAMS

routes = Routes()

_ADMINS, _MEMBERS, _ALL = ("admin",), ("admin", "member"), ("admin", "member", "viewer")
READ, READ_MEMBERS = "teams.teams.read", "teams.members.read"

PERMISSIONS = (
    Permission("teams.teams.create", "Create teams", _MEMBERS),
    Permission(READ, "See teams, and secret ones that one is in", _ALL),
    Permission(service.UPDATE, "See and change every team, secret ones too, its role and its place", _ADMINS),
    Permission(service.DELETE, "Delete every team", _ADMINS),
    Permission(READ_MEMBERS, "See who is in a team", _ALL),
    Permission(people.UPDATE, "Add people to every team, make them lead, take them out", _ADMINS),
)

Prose = Annotated[str, StringConstraints(max_length=20_000)]
Slug = Annotated[
    str, TextForm(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", "1 to 63 lower-case letters, digits, inner hyphens")
]


class NewTeam(BaseModel, extra="forbid"):
    name: Name
    slug: Slug | None = None
    description: Prose = ""
    visibility: Visibility = Visibility.VISIBLE
    parent_id: UUID | None = None
    role_id: UUID | None = None


class TeamChanges(BaseModel, extra="forbid"):
    """Only fields that are sent change; the defaults below are never stored, except null where it is allowed."""

    name: Name = ""
    slug: Slug = ""
    description: Prose = ""
    visibility: Visibility = Visibility.VISIBLE
    role_id: UUID | None = None


class Place(BaseModel, extra="forbid"):
    parent_id: UUID | None


class NewMember(BaseModel, extra="forbid"):
    user_id: UUID
    role: TeamRole = TeamRole.MEMBER
    ends_at: AwareDatetime | None = None


class MemberChanges(BaseModel, extra="forbid"):
    """Only fields that are sent change; the default role below is never stored."""

    role: TeamRole = TeamRole.MEMBER
    ends_at: AwareDatetime | None = None


class Heir(BaseModel, extra="forbid"):
    user_id: UUID


# -- teams -----------------------------------------------------------------------------------------------


@routes.get("/teams", permission=READ, name="teams.list", listing=TEAMS, limits=(RATE,))
async def list_teams(query: Query) -> Page:
    """List the teams that you may see."""
    await allow(RATE)
    return await TEAMS.page(query)


@routes.get("/me/teams", permission=READ, name="my_teams.list", limits=(RATE,))
async def list_my_teams() -> list[Row]:
    """List the teams that you are in, with your role."""
    await allow(RATE)
    person = actor().user_id
    if person is None:
        raise Unauthenticated("Only people are in teams.")
    return await people.teams_of(person)


@routes.post(
    "/teams", permission="teams.teams.create", name="teams.create", returns=TEAMS, limits=(RATE, service.QUOTA)
)
async def create_team(body: NewTeam) -> Created:
    """Create a team, led by you."""
    await allow(RATE)
    team = await service.create_team(**dict(body))
    return Created(team, f"/teams/{team['id']}")


@routes.get("/teams/<uuid:team_id>", permission=READ, name="teams.get", returns=TEAMS, limits=(RATE,))
async def get_team(team_id: UUID) -> Row:
    """Read a team."""
    await allow(RATE)
    return await TEAMS.get(team_id)


@routes.patch("/teams/<uuid:team_id>", permission=READ, name="teams.update", returns=TEAMS, limits=(RATE,))
async def change_team(team_id: UUID, body: TeamChanges, if_match: int | None) -> Row:
    """Change a team that you lead, or any with `teams.teams.update`."""
    await allow(RATE)
    return await service.change_team(team_id, body.model_dump(exclude_unset=True), version=if_match)


@routes.put("/teams/<uuid:team_id>/parent", permission=service.UPDATE, name="teams.move", returns=TEAMS, limits=(RATE,))
async def move_team(team_id: UUID, body: Place, if_match: int | None) -> Row:
    """Put a team below another one, or below none.

    Its members, and those of the teams below it, are members of the new parent, and of those above, for rights.
    """
    await allow(RATE)
    return await service.move_team(team_id, body.parent_id, version=if_match)


@routes.delete("/teams/<uuid:team_id>", permission=READ, name="teams.delete", limits=(RATE,))
async def delete_team(team_id: UUID, if_match: int | None) -> None:
    """Delete a team that you lead, or any with `teams.teams.delete`, and so the rights it gave."""
    await allow(RATE)
    await service.delete_team(team_id, version=if_match)


# -- people ----------------------------------------------------------------------------------------------


@routes.get(
    "/teams/<uuid:team_id>/members", permission=READ_MEMBERS, name="members.list", listing=MEMBERS, limits=(RATE,)
)
async def list_members(team_id: UUID, query: Query) -> Page:
    """List the people in a team itself."""
    await allow(RATE)
    await TEAMS.get(team_id)
    return await MEMBERS.page(query, team_id=team_id)


@routes.post(
    "/teams/<uuid:team_id>/members",
    permission=READ,
    name="members.add",
    returns=MEMBERS,
    limits=(RATE, service.SIZE),
    refusals=(402,),
)
async def add_member(team_id: UUID, body: NewMember) -> Created:
    """Add a member of the organisation to a team."""
    await allow(RATE)
    row = await people.add_member(team_id, body.user_id, body.role, body.ends_at and body.ends_at.astimezone(UTC))
    return Created(row, f"/teams/{team_id}/members/{body.user_id}")


@routes.get(
    "/teams/<uuid:team_id>/members/<uuid:user_id>",
    permission=READ_MEMBERS,
    name="members.get",
    returns=MEMBERS,
    limits=(RATE,),
)
async def get_member(team_id: UUID, user_id: UUID) -> Row:
    """Read a person's membership in a team."""
    await allow(RATE)
    return await people.member(team_id, user_id)


@routes.put(
    "/teams/<uuid:team_id>/members/<uuid:user_id>",
    permission=READ,
    name="members.update",
    returns=MEMBERS,
    limits=(RATE,),
)
async def change_member(team_id: UUID, user_id: UUID, body: MemberChanges, if_match: int | None) -> Row:
    """Make a member lead or a lead member, or change when their membership ends."""
    await allow(RATE)
    changes = body.model_dump(exclude_unset=True)
    if isinstance(changes.get("ends_at"), datetime):
        changes["ends_at"] = changes["ends_at"].astimezone(UTC)
    return await people.change_member(team_id, user_id, changes, version=if_match)


@routes.delete("/teams/<uuid:team_id>/members/<uuid:user_id>", permission=READ, name="members.remove", limits=(RATE,))
async def remove_member(team_id: UUID, user_id: UUID, if_match: int | None) -> None:
    """Take a person out of a team, or leave it."""
    await allow(RATE)
    await people.remove_member(team_id, user_id, version=if_match)


@routes.post("/teams/<uuid:team_id>/transfer", permission=READ, name="teams.transfer", status=200, limits=(RATE,))
async def transfer(team_id: UUID, body: Heir) -> Row:
    """Hand a team that you lead over to another of its members; you stay a member."""
    await allow(RATE)
    return await people.transfer(team_id, body.user_id)
