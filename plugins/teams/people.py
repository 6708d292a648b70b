"""Rules of the people in teams: joining, leading, leaving, memberships that end, and who leaves the organisation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from host.sdk import (
    Conflict,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    Row,
    UnitOfWork,
    ValidationFailed,
    actor,
    is_member,
    limit_value,
    lock_tenant,
    may,
    unit_of_work,
)

from . import rights
from .events import TeamLeaderless, TeamMemberRemoved, TeamMemberRoleChanged, Why
from .models import Team, TeamMember, TeamRole
from .service import MEMBERS, SIZE, TEAMS, add_row, ensure_manages

UPDATE = "teams.members.update"
BATCH = 100  # memberships per unit of work: keeps each transaction short
_ONLY_LEAD = "This person is the team's only lead; make somebody else lead first."


async def add_member(team_id: UUID, user_id: UUID, role: TeamRole, ends_at: datetime | None = None) -> Row:
    """Add a member of the organisation to a team.

    Raises:
        NotFound: this tenant has no such team, or not for whoever asks.
        PermissionDenied: whoever asks does not lead it and lacks `teams.members.update`, or what the team permits.
        ValidationFailed: the person does not belong to this tenant, or the membership cannot end then.
        Conflict: they are in it already, or in as many teams as a person can be. QuotaExceeded: the team is full.
    """
    async with unit_of_work() as work:
        await lock_tenant()  # two additions at once must not each find the last free place
        await TEAMS.get(team_id)
        await ensure_manages(team_id, UPDATE)
        await rights.refuse_team_beyond_own(team_id)
        if not await is_member(user_id):
            raise ValidationFailed(details={"user_id": "This person does not belong to this organisation."})
        _ensure_end(role, ends_at)
        if await MEMBERS.find(team_id=team_id, user_id=user_id) is not None:
            raise Conflict("This person is in the team already; PUT changes their role.")
        await _ensure_room(team_id)
        if await rights.teams_through(user_id, team_id) > rights.MOST_TEAMS:
            raise Conflict(
                f"A person can be in {rights.MOST_TEAMS} teams, those above included; take them out of some."
            )
        row = await add_row(work, team_id, user_id, role, ends_at=ends_at)
        if ends_at is not None:
            await work.enqueue("teams.expire", run_at=ends_at)
    return row


def _ensure_end(role: object, ends_at: datetime | None) -> None:
    if ends_at is not None and ends_at <= datetime.now(UTC):
        raise ValidationFailed(details={"ends_at": "Choose a time in the future."})
    if ends_at is not None and role == TeamRole.LEAD:
        raise ValidationFailed(details={"ends_at": "A lead's membership does not end by itself; leave this out."})


async def _ensure_room(team_id: UUID) -> None:
    most, used = (await limit_value(SIZE))[0].amount, await TeamMember.filter(team_id=team_id).count()
    if most is not None and used >= most:
        raise QuotaExceeded(
            f"The plan allows {most} members in a team ({SIZE}).", details={"name": SIZE, "limit": most, "used": used}
        )


async def change_member(team_id: UUID, user_id: UUID, changes: dict[str, Any], *, version: int | None = None) -> Row:
    """Change a member's role or when their membership ends.

    Raises:
        NotFound: this tenant has no such team, or not for whoever asks, or the person is not in it.
        PermissionDenied: whoever asks does not lead it and lacks `teams.members.update`.
        Conflict: the person is the team's only lead. ValidationFailed: the membership cannot end then.
        PreconditionFailed: `version` is no longer the membership's.
    """
    async with unit_of_work() as work:
        await lock_tenant()  # two leads who step down at once must not each rely on the other
        row = await member(team_id, user_id)
        await ensure_manages(team_id, UPDATE)
        role, ends_at = changes.get("role", row["role"]), changes.get("ends_at", row["ends_at"])
        _ensure_end(role, ends_at)
        if role != TeamRole.LEAD:
            await _ensure_led_without(row)
        row = await _change(work, row, changes, version)
        if changes.get("ends_at") is not None:
            await work.enqueue("teams.expire", run_at=changes["ends_at"])
    return row


async def _change(work: UnitOfWork, row: Row, changes: dict[str, Any], version: int | None = None) -> Row:
    change = await MEMBERS.change(row["id"], changes, version=version)
    if change.changed_after:
        team_id, user_id = row["team_id"], row["user_id"]
        before, after = change.changed_before, change.changed_after
        work.record("teams.members.update", "team_member", f"{team_id}/{user_id}", before=before, after=after)
        if "role" in after:
            work.announce(TeamMemberRoleChanged(team_id=team_id, user_id=user_id, role=after["role"]))
        work.touch(user=user_id)
    return change.after


async def remove_member(team_id: UUID, user_id: UUID, *, version: int | None = None) -> None:
    """Take a person out of a team; everybody may leave by themselves.

    Raises:
        NotFound: this tenant has no such team, or not for whoever asks, or the person is not in it.
        PermissionDenied: it is somebody else, and whoever asks does not lead it and lacks `teams.members.update`.
        Conflict: the person is the team's only lead. PreconditionFailed: `version` is no longer the membership's.
    """
    async with unit_of_work() as work:
        await lock_tenant()  # two leads who leave at once must not each rely on the other
        row = await member(team_id, user_id)
        leaves = actor().kind == "user" and actor().user_id == user_id
        if not leaves:
            await ensure_manages(team_id, UPDATE)
        await _ensure_led_without(row)
        await _remove(work, row, "left" if leaves else "removed", version)


async def _remove(work: UnitOfWork, row: Row, why: Why, version: int | None = None) -> None:
    team_id, user_id = row["team_id"], row["user_id"]
    await MEMBERS.remove(row["id"], version=version)
    work.record("teams.members.delete", "team_member", f"{team_id}/{user_id}", before={**row, "why": why})
    work.announce(TeamMemberRemoved(team_id=team_id, user_id=user_id, why=why))
    work.touch(user=user_id)


async def transfer(team_id: UUID, user_id: UUID) -> Row:
    """Make another member lead and the actor, who leads the team, a member; returns the new lead's membership.

    Raises:
        NotFound: this tenant has no such team, or not for whoever asks.
        PermissionDenied: whoever asks does not lead it. Conflict: the person is not in the team.
    """
    async with unit_of_work() as work:
        await lock_tenant()
        await TEAMS.get(team_id)
        mine = await MEMBERS.find(team_id=team_id, user_id=actor().user_id) if actor().kind == "user" else None
        if mine is None or mine["role"] != TeamRole.LEAD:
            raise PermissionDenied("Only a lead of this team hands it over.")
        heir = await MEMBERS.find(team_id=team_id, user_id=user_id)
        if heir is None or user_id == mine["user_id"]:
            raise Conflict("Hand the team over to another of its members; add the person first.")
        row = await _change(work, heir, {"role": TeamRole.LEAD, "ends_at": None})
        await _change(work, mine, {"role": TeamRole.MEMBER})
    return row


async def member(team_id: UUID, user_id: UUID) -> Row:
    """A person's membership in a team.

    Raises:
        NotFound: this tenant has no such team, or not for whoever asks, or the person is not in it.
    """
    row = await MEMBERS.find(team_id=team_id, user_id=user_id)
    if row is None:
        raise NotFound()
    return row


async def teams_of(user_id: UUID) -> list[Row]:
    """The teams that a person is in themselves, secret ones too, with their role, by name."""
    fields = ("team_id", "role", "ends_at", "team__name", "team__slug", "team__visibility", "created_at")
    rows = await TeamMember.filter(user_id=user_id).order_by("team__name_key", "team_id").values(*fields)
    return [
        {
            "id": row["team_id"],
            "name": row["team__name"],
            "slug": row["team__slug"],
            "visibility": row["team__visibility"],
            "role": row["role"],
            "since": row["created_at"],
            "ends_at": row["ends_at"],
        }
        for row in rows
    ]


async def _ensure_led_without(row: Row) -> None:
    """Raise Conflict when this is the membership of the team's only lead; the tenant is locked."""
    if row["role"] == TeamRole.LEAD and not await _is_led(row["team_id"], besides=row["user_id"]):
        raise Conflict(_ONLY_LEAD)


async def _is_led(team_id: UUID, besides: UUID) -> bool:
    return await TeamMember.filter(team_id=team_id, role=TeamRole.LEAD).exclude(user_id=besides).exists()


async def release_person(user_id: UUID) -> int:
    """Take a person who left the organisation out of every team, in the transaction of whoever calls; how many.

    A team left without a lead is led by its longest-serving member who may change any team's people; where there is
    none, it is announced as leaderless. Called while actions are told, so that it records none of its own.
    """
    async with unit_of_work() as work:
        rows = await TeamMember.filter(user_id=user_id).order_by("team_id").values("id", "team_id", "role")
        await TeamMember.filter(id__in=[row["id"] for row in rows]).delete()
        for row in rows:
            work.announce(TeamMemberRemoved(team_id=row["team_id"], user_id=user_id, why="left_organisation"))
            if row["role"] == TeamRole.LEAD and not await _is_led(row["team_id"], besides=user_id):
                await _hand_over(work, row["team_id"])
        if rows:
            work.touch(user=user_id)
    return len(rows)


async def _hand_over(work: UnitOfWork, team_id: UUID) -> None:
    for row in await TeamMember.filter(team_id=team_id).order_by("created_at", "id").values("id", "user_id", "version"):
        if await may(row["user_id"], UPDATE):
            lead = {"role": TeamRole.LEAD, "ends_at": None, "version": row["version"] + 1}
            await TeamMember.filter(id=row["id"]).update(**lead)
            work.announce(TeamMemberRoleChanged(team_id=team_id, user_id=row["user_id"], role=TeamRole.LEAD))
            work.touch(user=row["user_id"])
            return
    team = await Team.get(id=team_id)
    work.announce(TeamLeaderless(team_id=team_id, name=team.name))


async def release_people_who_left() -> None:
    """Release everybody who left while this plugin was switched off."""
    for row in await TeamMember.all().distinct().values("user_id"):
        if not await is_member(row["user_id"]):
            async with unit_of_work():
                await lock_tenant()
                await release_person(row["user_id"])


async def expire() -> int:
    """Remove the memberships whose end has come; returns how many."""
    ended = 0
    while batch := await _expire_batch():
        ended += len(batch)
    return ended


async def _expire_batch() -> Sequence[Row]:
    async with unit_of_work() as work:
        await lock_tenant()
        due = (
            await TeamMember.filter(ends_at__lte=datetime.now(UTC)).order_by("ends_at", "id").limit(BATCH).values("id")
        )
        rows = [await MEMBERS.get(row["id"]) for row in due]
        for row in rows:
            await _remove(work, row, "ended")
    return rows
