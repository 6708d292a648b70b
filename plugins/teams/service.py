"""Rules of teams: who sees and changes them, their roles, and where they lie; each change is one unit of work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from host.sdk import (
    Audience,
    Conflict,
    Limit,
    PermissionDenied,
    Records,
    Row,
    UnitOfWork,
    actor,
    is_allowed,
    lock_tenant,
    slug_of,
    spend,
    unit_of_work,
)

from . import rights, tree
from .events import TeamChanged, TeamCreated, TeamDeleted, TeamMemberAdded, TeamMoved
from .models import Team, TeamClosure, TeamMember, TeamRole, Visibility

UPDATE, DELETE = "teams.teams.update", "teams.teams.delete"
QUOTA, SIZE, RATE = "teams.teams", "teams.members", "teams.rate"
SLUG_LENGTH = 63
_SECRET = "A secret team is neither above nor below another one; make it visible, or leave it alone."  # noqa: S105

_SEEN = Audience(Team, ("visibility", Visibility.VISIBLE), TeamMember, "team_id", everything=UPDATE)

TEAMS = Records(
    Team,
    without=("name_key",),
    filters={"slug": "exact", "parent_id": "exact", "visibility": "exact", "role_id": "exact"},
    sorts=("created_at", "name"),
    search=("name", "description"),
    audience=_SEEN,
)

MEMBERS = Records(
    TeamMember,
    without=("principal",),
    filters={"role": "exact", "user_id": "exact"},
    audience=replace(_SEEN, key="team_id"),
)


async def count_teams() -> int:
    """How many teams there are, secret ones too."""
    return await TEAMS.count()


LIMITS = (
    Limit(QUOTA, "quota", "How many teams there may be at a time", "teams", default="3", count=count_teams),
    Limit(SIZE, "value", "How many members a team may have", "members", default="25"),
    Limit(tree.DEPTH, "value", "How many levels deep teams may lie; 1: none below another", "levels", default="1"),
    Limit(RATE, "rate", "Requests about teams", "requests", default="500/minute"),
)


async def create_team(
    name: str,
    *,
    slug: str | None = None,
    description: str = "",
    visibility: Visibility = Visibility.VISIBLE,
    parent_id: UUID | None = None,
    role_id: UUID | None = None,
) -> Row:
    """Create a team, led by whoever creates it; the slug is made from the name when none is given.

    Raises:
        Conflict: the slug is taken, the parent or the team is secret, or the plan allows no team that deep.
        NotFound: there is no such parent. ValidationFailed: there is no such role.
        PermissionDenied: a parent and a role need `teams.teams.update` and everything that their roles permit.
        QuotaExceeded: the plan allows no more teams.
    """
    person = actor().user_id
    async with unit_of_work() as work:
        await lock_tenant()
        await spend(QUOTA)
        if (parent_id is not None or role_id is not None) and not await is_allowed(UPDATE):
            raise PermissionDenied(f"To give a team a parent or a role you need {UPDATE}.")
        if role_id is not None:
            await rights.ensure_role(role_id)
        if parent_id is not None:
            await _ensure_parent(parent_id, visibility)
        chosen = await _free_slug(name) if slug is None else await _untaken(slug)
        row = await TEAMS.insert(
            name=name,
            slug=chosen,
            description=description,
            visibility=visibility,
            parent_id=parent_id,
            role_id=role_id,
            created_by=person,
        )
        await tree.plant(row["id"], parent_id)
        work.record("teams.teams.create", "team", str(row["id"]), after=row)
        work.announce(TeamCreated(team_id=row["id"], name=name, created_by=person))
        if person is not None:
            await add_row(work, row["id"], person, TeamRole.LEAD)
    return row


async def add_row(work: UnitOfWork, team_id: UUID, user_id: UUID, role: TeamRole, **more: Any) -> Row:
    """Write a membership, recorded, announced and felt at the person's next request."""
    row = await MEMBERS.insert(
        team_id=team_id, user_id=user_id, principal=f"user:{user_id}", role=role, added_by=actor().user_id, **more
    )
    work.record("teams.members.create", "team_member", f"{team_id}/{user_id}", after=row)
    work.announce(TeamMemberAdded(team_id=team_id, user_id=user_id, role=role))
    work.touch(user=user_id)
    return row


async def change_team(team_id: UUID, changes: Mapping[str, Any], *, version: int | None = None) -> Row:
    """Change name, slug, description, visibility or role.

    Raises:
        NotFound: this tenant has no such team, or not for whoever asks.
        PermissionDenied: whoever asks does not lead it and lacks `teams.teams.update`, which a role needs always.
        Conflict: the slug is taken, or a team that is nested would be secret.
        PreconditionFailed: `version` is no longer the team's.
    """
    async with unit_of_work() as work:
        tenant = await lock_tenant()
        team = await TEAMS.get(team_id)
        await ensure_manages(team_id, UPDATE)
        if changes.get("role_id", team["role_id"]) != team["role_id"]:
            if not await is_allowed(UPDATE):
                raise PermissionDenied(f"To give a team another role you need {UPDATE}.")
            if changes["role_id"] is not None:
                await rights.ensure_role(changes["role_id"])
        if changes.get("slug", team["slug"]) != team["slug"]:
            await _untaken(changes["slug"])
        if changes.get("visibility") == Visibility.SECRET and (team["parent_id"] or await tree.has_children(team_id)):
            raise Conflict(_SECRET)
        change = await TEAMS.change(team_id, changes, version=version)
        if change.changed_after:
            before, after = change.changed_before, change.changed_after
            work.record("teams.teams.update", "team", str(team_id), before=before, after=after)
            work.announce(TeamChanged(team_id=team_id, changed=tuple(sorted(after))))
            work.touch(tenant=tenant.id)
    return change.after


async def move_team(team_id: UUID, parent_id: UUID | None, *, version: int | None = None) -> Row:
    """Put a team, with those below it, below another one or none.

    Raises:
        NotFound: this tenant has no such team or parent.
        PermissionDenied: whoever asks lacks what the roles of the parent and of those above it permit.
        Conflict: a cycle, a secret team, or more levels than the plan allows.
        PreconditionFailed: `version` is no longer the team's.
    """
    async with unit_of_work() as work:
        tenant = await lock_tenant()  # two moves at once must not make a cycle together
        team = await TEAMS.get(team_id)
        if parent_id is not None and parent_id != team["parent_id"]:
            await _ensure_parent(parent_id, team["visibility"])
        if parent_id != team["parent_id"]:
            await tree.move(team_id, parent_id)
        change = await TEAMS.change(team_id, {"parent_id": parent_id}, version=version)
        if change.changed_after:
            before, after = change.changed_before, change.changed_after
            work.record("teams.teams.move", "team", str(team_id), before=before, after=after)
            work.announce(TeamMoved(team_id=team_id, before=team["parent_id"], after=parent_id))
            work.touch(tenant=tenant.id)
    return change.after


async def delete_team(team_id: UUID, *, version: int | None = None) -> None:
    """Delete a team with its memberships, and so the rights it gave; no team may lie below it.

    Raises:
        NotFound: this tenant has no such team, or not for whoever asks.
        PermissionDenied: whoever asks does not lead it and lacks `teams.teams.delete`.
        Conflict: teams lie below it. PreconditionFailed: `version` is no longer the team's.
    """
    async with unit_of_work() as work:
        tenant = await lock_tenant()
        await TEAMS.get(team_id)
        await ensure_manages(team_id, DELETE)
        if await tree.has_children(team_id):
            raise Conflict("Teams lie below this one; move or delete them first.")
        people = [str(row["user_id"]) for row in await TeamMember.filter(team_id=team_id).values("user_id")]
        await TeamMember.filter(team_id=team_id).delete()
        await TeamClosure.filter(descendant_id=team_id).delete()
        row = await _removed(team_id, version)
        work.record("teams.teams.delete", "team", str(team_id), before={**row, "members": people})
        work.announce(TeamDeleted(team_id=team_id, name=row["name"]))
        work.touch(tenant=tenant.id)


async def _removed(team_id: UUID, version: int | None) -> Row:
    """Delete the row itself, also where its last member, who saw it, is gone by now."""
    team = await Team.filter(id=team_id).select_for_update().get()
    return await Records(Team, without=("name_key",)).remove(team.id, version=version)


async def ensure_manages(team_id: UUID, permission: str) -> None:
    """Check that the actor leads the team or holds the permission; to lead is the person's, not their API keys'.

    Raises:
        PermissionDenied: neither.
    """
    person = actor()
    if (
        person.kind == "user"
        and await TeamMember.filter(team_id=team_id, user_id=person.user_id, role=TeamRole.LEAD).exists()
    ):
        return
    if not await is_allowed(permission, {"team_id": str(team_id)}):
        raise PermissionDenied(f"Only a lead of this team, or who holds {permission}, may do this.")


async def forget_role(role_id: UUID) -> None:
    """Take a role that was deleted away from the teams that had it, in the transaction that deletes it."""
    async with unit_of_work() as work:
        if await Team.filter(role_id=role_id).update(role_id=None):
            work.touch(tenant=(await lock_tenant()).id)


async def _ensure_parent(parent_id: UUID, visibility: Visibility) -> None:
    """Check that the actor may put a team of that visibility below this one."""
    parent = await TEAMS.get(parent_id)
    if Visibility.SECRET in {visibility, parent["visibility"]}:
        raise Conflict(_SECRET)
    await rights.refuse_team_beyond_own(parent_id)


async def _untaken(slug: str) -> str:
    if await Team.filter(slug=slug).exists():  # also one that whoever asks cannot see
        raise Conflict(f"A team with the slug {slug!r} exists already.", details={"slug": slug})
    return slug


async def _free_slug(name: str) -> str:
    """A slug made from the name, numbered when it is taken; the tenant is locked."""
    stem = slug_of(name, SLUG_LENGTH - 6, "team")
    taken = {row["slug"] for row in await Team.filter(slug__startswith=stem).values("slug")}
    if stem not in taken:
        return stem
    return next(slug for number in range(2, len(taken) + 3) if (slug := f"{stem}-{number}") not in taken)
