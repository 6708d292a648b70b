"""Pause and resume tasks in every process; an operator's pause takes effect within a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from tortoise.functions import Count

from host.jobs.job_store import WAITING
from host.jobs.models import Job, JobState, PausedTask

FRESH = 1.0
"""Seconds for which a process uses the set it has read before it asks the database again."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a task is held back, by whom and since when."""

    reason: str
    by: str
    at: datetime


class PausedTasks:
    """The small set of paused tasks, kept in the database and read again once a second while jobs run.

    Running jobs finish. Jobs of a paused task are parked; schedules do not add to them.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._read_at: float | None = None
        self._known: Mapping[str, Pause] = {}
        self._reading = asyncio.Lock()

    async def reason(self, task: str) -> str:
        """Why "<plugin>.<task>" is held back; empty when it is not."""
        if self._read_at is None or self._now() - self._read_at >= FRESH:
            async with self._reading:
                if self._read_at is None or self._now() - self._read_at >= FRESH:
                    self._known, self._read_at = await self.all(), self._now()
        pause = self._known.get(task)
        return f"paused by an operator: {pause.reason}" if pause is not None else ""

    async def all(self) -> Mapping[str, Pause]:
        """Every paused task, read now."""
        return {row.task: Pause(row.reason, row.paused_by, row.paused_at) async for row in PausedTask.all()}

    async def pause(self, task: str, reason: str, by: str) -> int:
        """Pause a task; how many waiting jobs were parked. Pausing it again changes the reason."""
        await PausedTask.update_or_create(defaults={"reason": reason, "paused_by": by}, task=task)
        self._read_at = None
        waiting = Job.filter(task=task, state__in=WAITING)
        return await waiting.update(state=JobState.PARKED, error=f"paused by an operator: {reason}")

    async def resume(self, task: str) -> int | None:
        """Let a task run again; how many parked jobs were queued, None when it was not paused.

        Those that may not run for another reason, such as a plugin switched off, are parked again when they
        are claimed; one that another process parks in this very second is queued by the reconciler.
        """
        if not await PausedTask.filter(task=task).delete():
            return None
        self._read_at = None
        parked = Job.filter(task=task, state=JobState.PARKED)
        later = await parked.filter(run_at__gt=datetime.now(UTC)).update(state=JobState.SCHEDULED, error="")
        return later + await parked.update(state=JobState.QUEUED, error="")


async def counts_by_task(task: str = "") -> Mapping[str, Mapping[str, int]]:
    """How many jobs on record each task (or this one) has in each state."""
    jobs = Job.filter(task=task) if task else Job.all()
    counts: dict[str, dict[str, int]] = {}
    for name, state, count in (
        await jobs.annotate(count=Count("id")).group_by("task", "state").values_list("task", "state", "count")
    ):
        counts.setdefault(name, {})[JobState(state).value] = count
    return counts
