"""Tables `Project`, `ProjectMember` and `Task`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.fields.base import Field
from tortoise.indexes import Index
from tortoise.models import Model

from host.sdk import SortKeyField, TenantModel


class Visibility(StrEnum):
    """organisation: for everybody who may see projects. members: for the project's own people only."""

    ORGANISATION = "organisation"
    MEMBERS = "members"


class ProjectStatus(StrEnum):
    """active: takes new tasks. archived: kept to be read."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class ProjectRole(StrEnum):
    """A person's function in a project, for display; permissions come from the tenant role."""

    LEAD = "lead"
    MEMBER = "member"
    VIEWER = "viewer"


class TaskStatus(StrEnum):
    """todo and in_progress are open; done and cancelled are closed."""

    TODO = "todo"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


class Priority(StrEnum):
    """How urgent a task is, the least urgent first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


_PRIORITIES = tuple(Priority)
_RANKS = {priority: rank for rank, priority in enumerate(_PRIORITIES, 1)}


class PriorityField(Field[Priority]):
    """A `Priority` everywhere in the code and the API, its rank (1 = low) in the database, so that sorting works."""

    SQL_TYPE = "SMALLINT"
    field_type = Priority
    enum_type = Priority

    def to_db_value(self, value: Any, instance: type[Model] | Model) -> int | None:
        """The rank of a priority; raises ValueError if there is no such priority."""
        return None if value is None else _RANKS[Priority(value)]

    def to_python_value(self, value: Any) -> Priority | None:
        """The priority of a rank read from the database, or of a name."""
        if value is None or isinstance(value, Priority):
            return value
        return _PRIORITIES[value - 1] if isinstance(value, int) else Priority(value)


class Project(TenantModel):
    """A piece of work with people and tasks; `slug` never changes."""

    name = fields.CharField(max_length=200)
    name_key = SortKeyField("name")
    slug = fields.CharField(max_length=63)
    description = fields.TextField(default="")
    status = fields.CharEnumField(ProjectStatus, max_length=20, default=ProjectStatus.ACTIVE)
    visibility = fields.CharEnumField(
        Visibility, max_length=20, default=Visibility.ORGANISATION, db_default=Visibility.ORGANISATION.value
    )
    created_by = fields.UUIDField(null=True)  # null: made by a job or a command
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "projects_projects"
        unique_together = (("tenant_id", "slug"),)
        indexes = (
            Index(fields=("tenant_id", "created_at", "id")),
            Index(fields=("tenant_id", "updated_at", "id")),
            Index(fields=("tenant_id", "name_key", "id")),
            Index(fields=("tenant_id", "status", "created_at", "id")),
        )


class ProjectMember(TenantModel):
    """A person's membership in a project."""

    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField("projects.Project", related_name=False)
    project_id: UUID
    user_id = fields.UUIDField()
    principal = fields.CharField(max_length=100, default="", db_default="")  # "user:<id>": who sees the project
    role = fields.CharEnumField(ProjectRole, max_length=20, default=ProjectRole.MEMBER)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "projects_members"
        unique_together = (("tenant_id", "project_id", "user_id"),)
        indexes = (
            Index(fields=("tenant_id", "project_id", "created_at", "id")),
            Index(fields=("tenant_id", "user_id", "created_at", "id")),
            Index(fields=("tenant_id", "principal", "project_id")),
        )


class Task(TenantModel):
    """A piece of work in a project, with an optional assignee and due date."""

    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField("projects.Project", related_name=False)
    project_id: UUID
    title = fields.CharField(max_length=200)
    title_key = SortKeyField("title")
    description = fields.TextField(default="")
    status = fields.CharEnumField(TaskStatus, max_length=20, default=TaskStatus.TODO)
    priority = PriorityField(default=Priority.NORMAL)
    assignee_id = fields.UUIDField(null=True)
    due_on = fields.DateField(null=True)
    tags: fields.Field[list[str]] = fields.JSONField(default=list)  # list of strings, each once, in the order given
    created_by = fields.UUIDField(null=True)  # null: made by a job or a command
    overdue_announced_for = fields.DateField(null=True)  # the last due date announced as passed; see tasks.py
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "projects_tasks"
        indexes = (
            Index(fields=("tenant_id", "created_at", "id")),
            Index(fields=("tenant_id", "updated_at", "id")),
            Index(fields=("tenant_id", "due_on", "id")),
            Index(fields=("tenant_id", "priority", "id")),
            Index(fields=("tenant_id", "title_key", "id")),
            Index(fields=("tenant_id", "project_id", "created_at", "id")),
            Index(fields=("tenant_id", "assignee_id", "created_at", "id")),
            Index(fields=("tenant_id", "status", "created_at", "id")),
            Index(fields=("tenant_id", "status", "due_on", "id")),  # also what the overdue schedule reads
        )
