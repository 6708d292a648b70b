"""Business rules of projects, members and tasks; each change is one unit of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from tortoise.expressions import Q

from host.sdk import (
    Audience,
    Conflict,
    Limit,
    NotFound,
    Records,
    Row,
    UnitOfWork,
    ValidationFailed,
    actor,
    fold,
    is_member,
    lock_tenant,
    may,
    owner_ids,
    principals_of,
    slug_of,
    spend,
    unit_of_work,
)

from .events import (
    ProjectCreated,
    ProjectDeleted,
    ProjectMemberRemoved,
    ProjectMemberSet,
    ProjectUpdated,
    TaskAssigned,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskUpdated,
)
from .models import Priority, Project, ProjectMember, ProjectRole, ProjectStatus, Task, TaskStatus, Visibility

QUOTA = "projects.projects"
SLUG_LENGTH = 63
BATCH = 200  # tasks per unit of work: keeps each transaction short
_ARCHIVED = "The project is archived; make it active again to add, change or delete tasks."
_OPEN = Q(status__in=[TaskStatus.TODO, TaskStatus.IN_PROGRESS])

SEE_ALL = "projects.projects.read_all"
_SEEN = Audience(Project, ("visibility", Visibility.ORGANISATION), ProjectMember, "project_id", everything=SEE_ALL)

PROJECTS = Records(
    Project,
    filters={"status": "exact", "slug": "exact", "created_by": "exact", "visibility": "exact"},
    sorts=("created_at", "updated_at", "name"),
    search=("name", "description"),
    audience=_SEEN,
)


async def count_projects() -> int:
    """How many projects there are, archived ones too."""
    return await PROJECTS.count()


LIMITS = (
    Limit(QUOTA, "quota", "How many projects there may be at a time", "projects", default="3", count=count_projects),
)

MEMBERS = Records(
    ProjectMember,
    fields=("id", "project_id", "user_id", "role", "version", "created_at", "updated_at"),
    filters={"role": "exact", "user_id": "exact"},
    sorts=("created_at",),
    audience=replace(_SEEN, key="project_id"),
)

TASKS = Records(
    Task,
    fields=(
        "id",
        "project_id",
        "title",
        "description",
        "status",
        "priority",
        "assignee_id",
        "due_on",
        "tags",
        "created_by",
        "version",
        "created_at",
        "updated_at",
    ),
    filters={
        "project_id": "exact",
        "status": "in",
        "priority": "in",
        "assignee_id": "exact",
        "due_before": "due_on:lt",
        "due_after": "due_on:gt",
        "tag": "tags:has",
    },
    sorts=("created_at", "updated_at", "due_on", "priority", "title"),
    search=("title", "description"),
    audience=replace(_SEEN, key="project_id"),
)


# -- projects --------------------------------------------------------------------------------------------


async def create_project(
    name: str, *, slug: str | None = None, description: str = "", visibility: Visibility = Visibility.ORGANISATION
) -> Row:
    """Create a project, led by whoever creates it; the slug is made from the name when none is given.

    Raises:
        Conflict: the slug is taken.
        QuotaExceeded: the plan allows no more projects.
    """
    person = actor().user_id
    async with unit_of_work() as work:
        await spend(QUOTA)
        chosen = await _free_slug(name) if slug is None else await _untaken(slug)
        row = await PROJECTS.insert(
            name=name, slug=chosen, description=description, visibility=visibility, created_by=person
        )
        if person is not None:
            await _add(row["id"], person, ProjectRole.LEAD)
        work.record("projects.projects.create", "project", str(row["id"]), after=row)
        work.announce(ProjectCreated(project_id=row["id"], name=name, created_by=person))
    return row


async def change_project(project_id: UUID, changes: Mapping[str, Any], *, version: int | None = None) -> Row:
    """Change name, description, status or visibility.

    Raises:
        NotFound: this tenant has no such project.
        PreconditionFailed: `version` is no longer the project's.
    """
    async with unit_of_work() as work:
        change = await PROJECTS.change(project_id, changes, version=version)
        if change.changed_after:
            work.record(
                "projects.projects.update",
                "project",
                str(project_id),
                before=change.changed_before,
                after=change.changed_after,
            )
            work.announce(ProjectUpdated(project_id=project_id, changed=tuple(sorted(change.changed_after))))
    return change.after


async def delete_project(project_id: UUID, *, version: int | None = None) -> None:
    """Delete a project with its people and tasks, each task recorded.

    Raises:
        NotFound: this tenant has no such project.
        PreconditionFailed: `version` is no longer the project's.
    """
    async with unit_of_work() as work:
        await PROJECTS.get(project_id)
        tasks = await _delete_contents(work, project_id)
        row = await PROJECTS.remove(project_id, version=version)
        work.record("projects.projects.delete", "project", str(project_id), before=row)
        work.announce(ProjectDeleted(project_id=project_id, name=row["name"], tasks=tasks))


async def _delete_contents(work: UnitOfWork, project_id: UUID) -> int:
    # Locked first: a task created meanwhile would otherwise go unrecorded.
    if await Project.filter(id=project_id).select_for_update().first() is None:
        raise NotFound()
    tasks = await Task.filter(project_id=project_id).values("id", "title", "status", "assignee_id")
    for task in tasks:
        work.record("projects.tasks.delete", "task", str(task.pop("id")), before={**task, "project_id": project_id})
    await Task.filter(project_id=project_id).delete()
    await ProjectMember.filter(project_id=project_id).delete()
    return len(tasks)


async def _untaken(slug: str) -> str:
    if await Project.filter(slug=slug).exists():  # also one that whoever asks cannot see
        raise Conflict(f"A project with the slug {slug!r} exists already.", details={"slug": slug})
    return slug


async def _free_slug(name: str) -> str:
    """A slug made from the name, numbered when it is taken; two at the same instant end in a Conflict."""
    stem = slug_of(name, SLUG_LENGTH - 6, "project")
    taken = {row["slug"] for row in await Project.filter(slug__startswith=stem).values("slug")}
    if stem not in taken:
        return stem
    return next(slug for number in range(2, len(taken) + 3) if (slug := f"{stem}-{number}") not in taken)


# -- people ----------------------------------------------------------------------------------------------


async def set_member(
    project_id: UUID, user_id: UUID, role: ProjectRole, *, version: int | None = None
) -> tuple[Row, bool]:
    """Give a person a role in a project; returns the row and whether the person is new there.

    Raises:
        NotFound: this tenant has no such project.
        ValidationFailed: the person does not belong to this tenant.
        PreconditionFailed: `version` is no longer the membership's.
        Conflict: the person is the project's only lead, and would be lead no more.
    """
    async with unit_of_work() as work:
        await lock_tenant()  # two leads who step down at once must not each rely on the other
        await PROJECTS.get(project_id)
        await _ensure_member("user_id", user_id)
        membership = await MEMBERS.find(project_id=project_id, user_id=user_id)
        if membership is not None and role != ProjectRole.LEAD:
            await _ensure_led_without(membership)
        if membership is None:
            row = await _add(project_id, user_id, role)
            before, after = None, row
        else:
            change = await MEMBERS.change(membership["id"], {"role": role}, version=version)
            row, before, after = change.after, change.changed_before, change.changed_after
        if after:
            resource_id = f"{project_id}/{user_id}"
            work.record("projects.members.update", "project_member", resource_id, before=before, after=after)
            work.announce(ProjectMemberSet(project_id=project_id, user_id=user_id, role=role))
    return row, membership is None


async def _add(project_id: UUID, user_id: UUID, role: ProjectRole) -> Row:
    return await MEMBERS.insert(project_id=project_id, user_id=user_id, principal=f"user:{user_id}", role=role)


async def remove_member(project_id: UUID, user_id: UUID, *, version: int | None = None) -> None:
    """Take a person out of a project; tasks stay assigned as they are.

    Raises:
        NotFound: this tenant has no such project, or the person is not in it.
        PreconditionFailed: `version` is no longer the membership's.
        Conflict: the person is the project's only lead.
    """
    async with unit_of_work() as work:
        await lock_tenant()  # two leads who are taken out at once must not each rely on the other
        row = await member(project_id, user_id)
        await _ensure_led_without(row)
        await _remove(work, row, version)


async def _remove(work: UnitOfWork, row: Row, version: int | None = None) -> None:
    project_id, user_id = row["project_id"], row["user_id"]
    await MEMBERS.remove(row["id"], version=version)
    work.record("projects.members.delete", "project_member", f"{project_id}/{user_id}", before=row)
    work.announce(ProjectMemberRemoved(project_id=project_id, user_id=user_id))


async def _ensure_led_without(membership: Row) -> None:
    """Raise Conflict when this is the membership of the project's only lead; the tenant is locked."""
    project_id, user_id = membership["project_id"], membership["user_id"]
    if membership["role"] == ProjectRole.LEAD and not await _is_led(project_id, besides=user_id):
        raise Conflict("This person is the project's only lead; make somebody else lead first.")


async def _is_led(project_id: UUID, besides: UUID) -> bool:
    leads = ProjectMember.filter(project_id=project_id, role=ProjectRole.LEAD)
    return await leads.exclude(user_id=besides).exists()


async def member(project_id: UUID, user_id: UUID) -> Row:
    """A person's membership in a project.

    Raises:
        NotFound: this tenant has no such project, or the person is not in it.
    """
    membership = await MEMBERS.find(project_id=project_id, user_id=user_id)
    if membership is None:
        raise NotFound()
    return membership


async def release_person(user_id: UUID) -> None:
    """Remove a person who left the organisation from every project and open task; closed tasks keep their assignee.

    A project left without a lead is led by the owner who has been in the organisation longest.
    """
    async with unit_of_work() as work:
        await lock_tenant()  # two leads who leave at once must not each rely on the other
        for membership in await ProjectMember.filter(user_id=user_id):
            project_id = membership.project_id
            await _remove(work, await member(project_id, user_id))
            if membership.role == ProjectRole.LEAD and not await _is_led(project_id, besides=user_id):
                await _hand_over(project_id)
    while await _release_tasks(user_id):
        pass


async def release_people_who_left() -> None:
    """Release everybody who left while this plugin was disabled and so received no event."""
    people = await ProjectMember.all().distinct().values("user_id")
    assignees = await Task.filter(_OPEN, assignee_id__isnull=False).distinct().values("assignee_id")
    for user_id in {*(row["user_id"] for row in people), *(row["assignee_id"] for row in assignees)}:
        if not await is_member(user_id):
            await release_person(user_id)


async def _hand_over(project_id: UUID) -> None:
    for heir in (await owner_ids())[:1]:
        await set_member(project_id, heir, ProjectRole.LEAD)


async def _release_tasks(user_id: UUID) -> int:
    async with unit_of_work() as work:
        tasks = await Task.filter(_OPEN, assignee_id=user_id).order_by("id").limit(BATCH).values("id")
        for task in tasks:
            await _change(work, task["id"], {"assignee_id": None}, None)
    return len(tasks)


async def _ensure_member(field: str, user_id: UUID) -> None:
    if not await is_member(user_id):
        raise ValidationFailed(details={field: "This person does not belong to this organisation."})


async def _ensure_assignable(project: Row, user_id: UUID) -> None:
    """Raise ValidationFailed for an assignee who could not see the task."""
    await _ensure_member("assignee_id", user_id)
    if project["visibility"] == Visibility.ORGANISATION:
        return
    mine = await principals_of(user_id)
    shared = ProjectMember.filter(project_id=project["id"], principal__in=list(mine))
    if not (await shared.exists() or await may(user_id, SEE_ALL)):
        raise ValidationFailed(
            details={"assignee_id": "This person is not in the project, which only its members see; add them first."}
        )


# -- tasks -----------------------------------------------------------------------------------------------


async def create_task(
    project_id: UUID,
    title: str,
    *,
    description: str = "",
    status: TaskStatus = TaskStatus.TODO,
    priority: Priority = Priority.NORMAL,
    assignee_id: UUID | None = None,
    due_on: date | None = None,
    tags: Sequence[str] = (),
) -> Row:
    """Create a task in an active project.

    Raises:
        NotFound: this tenant has no such project.
        Conflict: the project is archived.
        ValidationFailed: the assignee does not belong to this tenant, or cannot see the project.
    """
    async with unit_of_work() as work:
        project = await PROJECTS.get(project_id)
        if project["status"] == ProjectStatus.ARCHIVED:
            raise Conflict(_ARCHIVED)
        if assignee_id is not None:
            await _ensure_assignable(project, assignee_id)
        row = await TASKS.insert(
            project_id=project_id,
            title=title,
            description=description,
            status=status,
            priority=priority,
            assignee_id=assignee_id,
            due_on=due_on,
            tags=_each_once(tags),
            created_by=actor().user_id,
        )
        work.record("projects.tasks.create", "task", str(row["id"]), after=row)
        work.announce(TaskCreated(task_id=row["id"], project_id=project_id, title=title, created_by=row["created_by"]))
        _announce_milestones(work, row, row)
    return row


async def change_task(task_id: UUID, changes: Mapping[str, Any], *, version: int | None = None) -> Row:
    """Change any of title, description, status, priority, assignee_id, due_on, tags.

    Raises:
        NotFound: this tenant has no such task.
        Conflict: its project is archived.
        ValidationFailed: the assignee does not belong to this tenant, or cannot see the project.
        PreconditionFailed: `version` is no longer the task's.
    """
    if "tags" in changes:
        changes = {**changes, "tags": _each_once(changes["tags"])}
    async with unit_of_work() as work:
        row = await _change(work, task_id, changes, version)
        project = await PROJECTS.get(row["project_id"])
        if project["status"] == ProjectStatus.ARCHIVED:
            raise Conflict(_ARCHIVED)
        if changes.get("assignee_id") is not None:
            await _ensure_assignable(project, changes["assignee_id"])
    return row


async def _ensure_active(*project_ids: UUID) -> None:
    """Raise Conflict when any of these projects is archived: their tasks are kept to be read."""
    if await Project.filter(id__in=project_ids, status=ProjectStatus.ARCHIVED).exists():
        raise Conflict(_ARCHIVED)


def _each_once(tags: Sequence[str]) -> list[str]:
    """Tags in the order given without repetitions; spellings that differ in case or composition count as one."""
    by_folded: dict[str, str] = {}
    for tag in tags:
        by_folded.setdefault(fold(tag), tag)
    return list(by_folded.values())


async def set_statuses(task_ids: Sequence[UUID], status: TaskStatus) -> list[Row]:
    """Give many tasks one status, all or none; returns them in the order asked.

    Raises:
        NotFound: this tenant lacks at least one of them.
        Conflict: the project of at least one of them is archived.
    """
    async with unit_of_work() as work:
        # In order of id: two of these over the same tasks wait for each other instead of dead-locking.
        rows = {task_id: await _change(work, task_id, {"status": status}, None) for task_id in sorted(set(task_ids))}
        await _ensure_active(*{row["project_id"] for row in rows.values()})
    return [rows[task_id] for task_id in dict.fromkeys(task_ids)]


async def delete_task(task_id: UUID, *, version: int | None = None) -> None:
    """Delete a task.

    Raises:
        NotFound: this tenant has no such task.
        Conflict: its project is archived.
        PreconditionFailed: `version` is no longer the task's.
    """
    async with unit_of_work() as work:
        row = await TASKS.remove(task_id, version=version)
        await _ensure_active(row["project_id"])
        work.record("projects.tasks.delete", "task", str(task_id), before=row)
        work.announce(TaskDeleted(task_id=task_id, project_id=row["project_id"], title=row["title"]))


async def _change(work: UnitOfWork, task_id: UUID, changes: Mapping[str, Any], version: int | None) -> Row:
    change = await TASKS.change(task_id, changes, version=version)
    if change.changed_after:
        before, after = change.changed_before, change.changed_after
        work.record("projects.tasks.update", "task", str(task_id), before=before, after=after)
        work.announce(TaskUpdated(task_id=task_id, project_id=change.after["project_id"], changed=tuple(sorted(after))))
        _announce_milestones(work, change.after, after)
    return change.after


def _announce_milestones(work: UnitOfWork, task: Row, changed: Mapping[str, Any]) -> None:
    """Announce that the task was assigned or completed, if the changes include that."""
    facts = {"task_id": task["id"], "project_id": task["project_id"], "title": task["title"]}
    if changed.get("assignee_id") is not None:
        work.announce(TaskAssigned(**facts, assignee_id=task["assignee_id"], assigned_by=actor().user_id))
    if changed.get("status") == TaskStatus.DONE:
        work.announce(TaskCompleted(**facts, completed_by=actor().user_id))
