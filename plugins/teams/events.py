"""Events of teams and their members, announced after the change is committed."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from host.sdk import Event, EventType

from .models import TeamRole

Why = Literal["removed", "left", "ended", "left_organisation"]


class TeamCreated(Event, frozen=True):
    team_id: UUID
    name: str
    created_by: UUID | None


class TeamChanged(Event, frozen=True):
    team_id: UUID
    changed: tuple[str, ...]


class TeamMoved(Event, frozen=True):
    team_id: UUID
    before: UUID | None
    after: UUID | None


class TeamDeleted(Event, frozen=True):
    team_id: UUID
    name: str


class TeamLeaderless(Event, frozen=True):
    team_id: UUID
    name: str


class TeamMemberAdded(Event, frozen=True):
    team_id: UUID
    user_id: UUID
    role: TeamRole


class TeamMemberRoleChanged(Event, frozen=True):
    team_id: UUID
    user_id: UUID
    role: TeamRole


class TeamMemberRemoved(Event, frozen=True):
    team_id: UUID
    user_id: UUID
    why: Why


EVENTS = (
    EventType(TeamCreated, "A team was created."),
    EventType(TeamChanged, "A team's name, slug, description, visibility or role changed."),
    EventType(TeamMoved, "A team got another parent, or none."),
    EventType(TeamDeleted, "A team was deleted with its memberships."),
    EventType(TeamLeaderless, "The last lead of a team left the organisation, and nobody in it could take over."),
    EventType(TeamMemberAdded, "A person joined a team."),
    EventType(TeamMemberRoleChanged, "A member of a team became its lead, or a lead a member."),
    EventType(TeamMemberRemoved, "A person is in a team no more; `why` says how it came."),
)
