"""Tables `Team`, `TeamMember` and `TeamClosure`."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from host.sdk import SortKeyField, TenantModel


class Visibility(StrEnum):
    """visible: for everybody who may see teams. secret: for its members and those who may change every team."""

    VISIBLE = "visible"
    SECRET = "secret"  # noqa: S105 - no password


class TeamRole(StrEnum):
    """A lead changes the team and its people; what members may do elsewhere comes from the team's `role_id`."""

    LEAD = "lead"
    MEMBER = "member"


class Team(TenantModel):
    """A group of people; the members of a team are members of its ancestors for rights, never the other way."""

    name = fields.CharField(max_length=200)
    name_key = SortKeyField("name")
    slug = fields.CharField(max_length=63)
    description = fields.TextField(default="")
    parent_id = fields.UUIDField(null=True)
    visibility = fields.CharEnumField(Visibility, max_length=20, default=Visibility.VISIBLE)
    role_id = fields.UUIDField(null=True)  # the role of the organisation that its members have beside their own
    created_by = fields.UUIDField(null=True)  # null: made by a job or a command
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "teams_teams"
        unique_together = (("tenant_id", "slug"),)
        indexes = (
            Index(fields=("tenant_id", "created_at", "id")),
            Index(fields=("tenant_id", "name_key", "id")),
            Index(fields=("tenant_id", "parent_id", "created_at", "id")),
            Index(fields=("tenant_id", "role_id")),
        )


class TeamMember(TenantModel):
    """A person's membership in a team."""

    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("teams.Team", related_name=False)
    team_id: UUID
    user_id = fields.UUIDField()
    principal = fields.CharField(max_length=100)  # "user:<id>": who sees a secret team
    role = fields.CharEnumField(TeamRole, max_length=20, default=TeamRole.MEMBER)
    ends_at = fields.DatetimeField(null=True)  # null: it does not end by itself
    added_by = fields.UUIDField(null=True)  # null: a job or a command
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "teams_members"
        unique_together = (("tenant_id", "team_id", "user_id"),)
        indexes = (
            Index(fields=("tenant_id", "team_id", "created_at", "id")),
            Index(fields=("tenant_id", "user_id", "team_id")),
            Index(fields=("tenant_id", "principal", "team_id")),
            Index(fields=("tenant_id", "ends_at")),
        )


class TeamClosure(TenantModel):
    """A team and one of its ancestors, `depth` steps above; also each team and itself, with depth 0."""

    ancestor: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("teams.Team", related_name=False)
    ancestor_id: UUID
    descendant: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("teams.Team", related_name=False)
    descendant_id: UUID
    depth = fields.IntField()

    class Meta:
        table = "teams_closure"
        unique_together = (("tenant_id", "descendant_id", "ancestor_id"),)
        indexes = (Index(fields=("tenant_id", "ancestor_id", "depth")),)
