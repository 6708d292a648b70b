"""Functions for other plugins whose manifest requires `teams`; they act in the bound tenant."""

from __future__ import annotations

from uuid import UUID

from host.sdk import Row

from . import people, rights
from .models import TeamMember, TeamRole
from .service import TEAMS

__all__ = ["find", "is_lead", "members_of", "teams_of"]


async def find(team_id: UUID) -> Row | None:
    """The team as the API shows it; None when there is none, or none that whoever asks may see."""
    return await TEAMS.find(id=team_id)


async def is_lead(team_id: UUID, user_id: UUID) -> bool:
    """Whether a person leads a team."""
    return await TeamMember.filter(team_id=team_id, user_id=user_id, role=TeamRole.LEAD).exists()


async def members_of(team_id: UUID) -> set[UUID]:
    """The people in a team and in the teams below it."""
    return await rights.people_of([f"team:{team_id}"])


async def teams_of(user_id: UUID) -> list[Row]:
    """The teams that a person is in themselves, with their role there."""
    return await people.teams_of(user_id)
