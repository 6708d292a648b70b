"""Search stored jobs by tenant, state, task, plugin, time or text, newest first, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from host.jobs.models import Job, JobState
from tenants.text import fold
from tenants.text_columns import TextFold


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Conditions of a search. None and "" leave one out; `tenant_id` None means jobs of every tenant and of none.

    task: "<plugin>.<name>". since, before: when it was accepted, the first included. text: part of the task's name or
    of the error, upper or lower case; or a job's id. Arguments are not searched, as they are not shown.
    """

    tenant_id: UUID | None = None
    state: JobState | None = None
    task: str = ""
    plugin: str = ""
    since: datetime | None = None
    before: datetime | None = None
    text: str = ""

    @property
    def scope(self) -> tuple[str, ...]:
        """Identifies the search, so that a cursor is accepted only by the search that made it."""
        return ("jobs", *(str(getattr(self, name) or "") for name in self.__slots__))


async def page(criteria: JobFilter, limit: int, after: UUID | None = None) -> Sequence[Job]:
    """At most `limit` jobs, the newest first, that follow the job `after`."""
    jobs = _matching(criteria)
    if after is not None:
        jobs = jobs.filter(id__lt=after)
    return await jobs.order_by("-id").limit(limit)


def _matching(criteria: JobFilter) -> QuerySet[Job]:
    exact = {
        "tenant_id": criteria.tenant_id,
        "state": criteria.state,
        "task": criteria.task or None,
        "plugin": criteria.plugin or None,
        "created_at__gte": criteria.since,
        "created_at__lt": criteria.before,
    }
    jobs = Job.filter(**{name: value for name, value in exact.items() if value is not None})
    if not criteria.text:
        return jobs
    try:
        return jobs.filter(id=UUID(criteria.text))
    except ValueError:
        jobs = jobs.annotate(folded_task=TextFold("task"), folded_error=TextFold("error"))
        return jobs.filter(Q(folded_task__contains=fold(criteria.text)) | Q(folded_error__contains=fold(criteria.text)))
