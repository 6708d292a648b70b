"""HTTP endpoints of projects, their members and tasks."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from host.sdk import Created, Name, OneLine, Page, Permission, Query, Routes, Row, TextForm

from . import service
from .models import Priority, ProjectRole, ProjectStatus, TaskStatus, Visibility
from .service import MEMBERS, PROJECTS, TASKS

routes = Routes()

_ADMINS, _MEMBERS, _ALL = ("admin",), ("admin", "member"), ("admin", "member", "viewer")

PERMISSIONS = (
    Permission("projects.projects.create", "Create projects", _MEMBERS),
    Permission("projects.projects.read", "See projects", _ALL),
    Permission(service.SEE_ALL, "See projects that are for their members only", _ADMINS),
    Permission("projects.projects.update", "Rename, describe and archive projects", _MEMBERS),
    Permission("projects.projects.delete", "Delete projects with all their tasks", _ADMINS),
    Permission("projects.members.read", "See who is in a project", _ALL),
    Permission("projects.members.update", "Add people to projects, change their roles, remove them", _MEMBERS),
    Permission("projects.tasks.create", "Create tasks", _MEMBERS),
    Permission("projects.tasks.read", "See tasks", _ALL),
    Permission("projects.tasks.update", "Change tasks", _MEMBERS),
    Permission("projects.tasks.delete", "Delete tasks", _MEMBERS),
)

Prose = Annotated[str, StringConstraints(max_length=20_000)]
Slug = Annotated[
    str, TextForm(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", "1 to 63 lower-case letters, digits, inner hyphens")
]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50), OneLine]
Tags = Annotated[list[Tag], Field(max_length=20)]


class NewProject(BaseModel, extra="forbid"):
    name: Name
    slug: Slug | None = None
    description: Prose = ""
    visibility: Visibility = Visibility.ORGANISATION


class ProjectChanges(BaseModel, extra="forbid"):
    """Only fields that are sent change; the defaults below are never stored."""

    name: Name = ""
    description: Prose = ""
    status: ProjectStatus = ProjectStatus.ACTIVE
    visibility: Visibility = Visibility.ORGANISATION


class MemberRole(BaseModel, extra="forbid"):
    role: ProjectRole = ProjectRole.MEMBER


class NewTask(BaseModel, extra="forbid"):
    title: Name
    description: Prose = ""
    status: TaskStatus = TaskStatus.TODO
    priority: Priority = Priority.NORMAL
    assignee_id: UUID | None = None
    due_on: date | None = None
    tags: Tags = []


class TaskChanges(BaseModel, extra="forbid"):
    """Only fields that are sent change; the defaults below are never stored, except null where it is allowed."""

    title: Name = ""
    description: Prose = ""
    status: TaskStatus = TaskStatus.TODO
    priority: Priority = Priority.NORMAL
    assignee_id: UUID | None = None
    due_on: date | None = None
    tags: Tags = []


class BulkStatus(BaseModel, extra="forbid"):
    ids: Annotated[list[UUID], Field(min_length=1, max_length=100)]
    status: TaskStatus


# -- projects --------------------------------------------------------------------------------------------


@routes.get("/projects", permission="projects.projects.read", name="projects.list", listing=PROJECTS)
async def list_projects(query: Query) -> Page:
    """List the projects."""
    return await PROJECTS.page(query)


@routes.post("/projects", permission="projects.projects.create", name="projects.create", returns=PROJECTS)
async def create_project(body: NewProject) -> Created:
    """Create a project, led by you."""
    project = await service.create_project(
        body.name, slug=body.slug, description=body.description, visibility=body.visibility
    )
    return Created(project, f"/projects/{project['id']}")


@routes.get("/projects/<uuid:project_id>", permission="projects.projects.read", name="projects.get", returns=PROJECTS)
async def get_project(project_id: UUID) -> Row:
    """Read a project."""
    return await PROJECTS.get(project_id)


@routes.patch(
    "/projects/<uuid:project_id>", permission="projects.projects.update", name="projects.update", returns=PROJECTS
)
async def change_project(project_id: UUID, body: ProjectChanges, if_match: int | None) -> Row:
    """Change a project's name, description or status."""
    return await service.change_project(project_id, body.model_dump(exclude_unset=True), version=if_match)


@routes.delete("/projects/<uuid:project_id>", permission="projects.projects.delete", name="projects.delete")
async def delete_project(project_id: UUID, if_match: int | None) -> None:
    """Delete a project with all its tasks."""
    await service.delete_project(project_id, version=if_match)


# -- people ----------------------------------------------------------------------------------------------


@routes.get(
    "/projects/<uuid:project_id>/members", permission="projects.members.read", name="members.list", listing=MEMBERS
)
async def list_members(project_id: UUID, query: Query) -> Page:
    """List the people of a project."""
    await PROJECTS.get(project_id)
    return await MEMBERS.page(query, project_id=project_id)


@routes.get(
    "/projects/<uuid:project_id>/members/<uuid:user_id>",
    permission="projects.members.read",
    name="members.get",
    returns=MEMBERS,
)
async def get_member(project_id: UUID, user_id: UUID) -> Row:
    """Read a person's place in a project."""
    return await service.member(project_id, user_id)


@routes.put(
    "/projects/<uuid:project_id>/members/<uuid:user_id>",
    permission="projects.members.update",
    name="members.set",
    returns=MEMBERS,
)
async def set_member(project_id: UUID, user_id: UUID, body: MemberRole, if_match: int | None) -> Row | Created:
    """Give a member of the organisation a role in a project."""
    member, joined = await service.set_member(project_id, user_id, body.role, version=if_match)
    return Created(member, f"/projects/{project_id}/members/{user_id}") if joined else member


@routes.delete(
    "/projects/<uuid:project_id>/members/<uuid:user_id>", permission="projects.members.update", name="members.remove"
)
async def remove_member(project_id: UUID, user_id: UUID, if_match: int | None) -> None:
    """Take a person out of a project."""
    await service.remove_member(project_id, user_id, version=if_match)


# -- tasks -----------------------------------------------------------------------------------------------


@routes.get(
    "/projects/<uuid:project_id>/tasks", permission="projects.tasks.read", name="tasks.list_in_project", listing=TASKS
)
async def list_project_tasks(project_id: UUID, query: Query) -> Page:
    """List the tasks of a project."""
    await PROJECTS.get(project_id)
    return await TASKS.page(query, project_id=project_id)


@routes.post(
    "/projects/<uuid:project_id>/tasks", permission="projects.tasks.create", name="tasks.create", returns=TASKS
)
async def create_task(project_id: UUID, body: NewTask) -> Created:
    """Create a task in a project."""
    task = await service.create_task(project_id, **dict(body))
    return Created(task, f"/tasks/{task['id']}")


@routes.get("/tasks", permission="projects.tasks.read", name="tasks.list", listing=TASKS)
async def list_tasks(query: Query) -> Page:
    """List the tasks of all projects."""
    return await TASKS.page(query)


@routes.post("/tasks/bulk-status", permission="projects.tasks.update", name="tasks.set_statuses")
async def set_statuses(body: BulkStatus) -> dict[str, list[Row]]:
    """Give up to 100 tasks one status, all or none."""
    return {"tasks": await service.set_statuses(body.ids, body.status)}


@routes.get("/tasks/<uuid:task_id>", permission="projects.tasks.read", name="tasks.get", returns=TASKS)
async def get_task(task_id: UUID) -> Row:
    """Read a task."""
    return await TASKS.get(task_id)


@routes.patch("/tasks/<uuid:task_id>", permission="projects.tasks.update", name="tasks.update", returns=TASKS)
async def change_task(task_id: UUID, body: TaskChanges, if_match: int | None) -> Row:
    """Change a task."""
    return await service.change_task(task_id, body.model_dump(exclude_unset=True), version=if_match)


@routes.delete("/tasks/<uuid:task_id>", permission="projects.tasks.delete", name="tasks.delete")
async def delete_task(task_id: UUID, if_match: int | None) -> None:
    """Delete a task."""
    await service.delete_task(task_id, version=if_match)
