"""Events of projects, their members and tasks, announced after the change is committed."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from host.sdk import Event, EventType

from .models import ProjectRole


class ProjectCreated(Event, frozen=True):
    project_id: UUID
    name: str
    created_by: UUID | None


class ProjectUpdated(Event, frozen=True):
    project_id: UUID
    changed: tuple[str, ...]


class ProjectDeleted(Event, frozen=True):
    project_id: UUID
    name: str
    tasks: int  # how many went with it


class ProjectMemberSet(Event, frozen=True):
    project_id: UUID
    user_id: UUID
    role: ProjectRole


class ProjectMemberRemoved(Event, frozen=True):
    project_id: UUID
    user_id: UUID


class TaskCreated(Event, frozen=True):
    task_id: UUID
    project_id: UUID
    title: str
    created_by: UUID | None


class TaskUpdated(Event, frozen=True):
    task_id: UUID
    project_id: UUID
    changed: tuple[str, ...]


class TaskAssigned(Event, frozen=True):
    task_id: UUID
    project_id: UUID
    title: str
    assignee_id: UUID
    assigned_by: UUID | None


class TaskCompleted(Event, frozen=True):
    task_id: UUID
    project_id: UUID
    title: str
    completed_by: UUID | None


class TaskDeleted(Event, frozen=True):
    task_id: UUID
    project_id: UUID
    title: str


class TaskOverdue(Event, frozen=True):
    task_id: UUID
    project_id: UUID
    title: str
    assignee_id: UUID | None
    due_on: date


EVENTS = (
    EventType(ProjectCreated, "A project was created."),
    EventType(ProjectUpdated, "A project's name, description or status changed."),
    EventType(ProjectDeleted, "A project and all its tasks were deleted."),
    EventType(ProjectMemberSet, "A person joined a project or got another role in it."),
    EventType(ProjectMemberRemoved, "A person left a project."),
    EventType(TaskCreated, "A task was created."),
    EventType(TaskUpdated, "A task changed; `changed` names the fields."),
    EventType(TaskAssigned, "A task was given to a person, on creation or later."),
    EventType(TaskCompleted, "A task became done."),
    EventType(TaskDeleted, "A task was deleted; not announced for tasks that go with their project."),
    EventType(TaskOverdue, "An open task's due day (UTC) has passed; announced once per due date."),
)
