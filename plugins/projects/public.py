"""Functions for other plugins whose manifest requires `projects`; they act in the bound tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from host.sdk import Row

from . import service
from .models import Priority
from .service import PROJECTS, TASKS

__all__ = ["Priority", "create_task", "find_project", "find_task"]


async def find_project(project_id: UUID) -> Row | None:
    """The project as the API shows it; None when this tenant has no such project."""
    return await PROJECTS.find(id=project_id)


async def find_task(task_id: UUID) -> Row | None:
    """The task as the API shows it; None when this tenant has no such task."""
    return await TASKS.find(id=task_id)


async def create_task(
    project_id: UUID,
    title: str,
    *,
    description: str = "",
    priority: Priority = Priority.NORMAL,
    assignee_id: UUID | None = None,
    due_on: date | None = None,
    tags: Sequence[str] = (),
) -> Row:
    """Create a task, recorded and announced as if a person had done it; joins the caller's unit of work.

    Raises:
        NotFound: this tenant has no such project.
        Conflict: the project is archived.
        ValidationFailed: the assignee does not belong to this tenant.
    """
    return await service.create_task(
        project_id,
        title,
        description=description,
        priority=priority,
        assignee_id=assignee_id,
        due_on=due_on,
        tags=tags,
    )
