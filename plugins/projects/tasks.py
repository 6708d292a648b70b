"""Announce overdue tasks once per due date, and release people who left the organisation."""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

from tortoise.expressions import F, Q

from host.sdk import MemberLeft, tenant_now, tenant_settings, unit_of_work
from host.sdk import Task as BackgroundTask

from . import service
from .events import TaskOverdue
from .models import ProjectStatus, Task, TaskStatus
from .settings import TenantSettings

BATCH = 200  # tasks per unit of work: keeps each transaction short


async def announce_overdue() -> int:
    """Announce every open task due before the organisation's today that has not been announced; returns how many.

    Tasks of archived projects wait until their project is active again.
    """
    if not (await tenant_settings(TenantSettings)).announce_overdue:
        return 0
    announced = 0
    while batch := await _announce_batch():
        announced += batch
    return announced


async def when_member_left(event: MemberLeft) -> None:
    """Remove a person who left the organisation from its projects and open tasks, also in case of a new invitation."""
    await service.release_person(event.user_id)


async def _announce_batch() -> int:
    today = (await tenant_now()).date()
    async with unit_of_work() as work:
        due = await (
            Task.filter(
                Q(overdue_announced_for__isnull=True) | ~Q(overdue_announced_for=F("due_on")),
                status__in=[TaskStatus.TODO, TaskStatus.IN_PROGRESS],
                due_on__lt=today,
                project__status=ProjectStatus.ACTIVE,
            )
            .order_by("due_on", "id")
            .limit(BATCH)
            .select_for_update(skip_locked=True, of=(Task._meta.db_table,))
        )
        await Task.filter(id__in=[task.id for task in due]).update(overdue_announced_for=F("due_on"))
        for task in due:
            work.announce(
                TaskOverdue(
                    task_id=task.id,
                    project_id=task.project_id,
                    title=task.title,
                    assignee_id=task.assignee_id,
                    due_on=cast(date, task.due_on),  # the query leaves out tasks without one
                )
            )
    return len(due)


TASKS = (
    BackgroundTask(
        name="announce_overdue",
        run=announce_overdue,
        summary="Announce tasks whose due day has passed",
        every=timedelta(hours=1),
    ),
)
