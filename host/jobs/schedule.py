"""Store the jobs of tasks that run on a schedule, once for each tenant and slot of time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from host.contracts import Origin, Task
from host.execution_context import NOWHERE
from host.jobs.catalog import JobDraft, TaskCatalog
from host.jobs.job_store import SCHEDULED, JobStore
from host.jobs.runner import MayRun
from host.times import last_time, zone

MISSED = timedelta(days=3)
"""How late a time of a cron line is made up for, such as when nothing ran; only the last one missed is."""

KEPT = 2 * MISSED
"""How long the finished jobs of cron lines stay on record at least, so that none of their times comes twice."""

_ANEW = timedelta(hours=1)  # tenants may have moved to another time zone
# Tenants are spread over this long at most; the share of each beyond so many.
_SPREAD, _EACH, _TOGETHER = timedelta(minutes=5), timedelta(seconds=0.1), 100
_BEFORE = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ScheduledTenant:
    """A tenant as far as schedules go. zone: an IANA name."""

    id: UUID
    zone: str = "UTC"
    created_at: datetime = _BEFORE


Tenants = Callable[[], Awaitable[Sequence[ScheduledTenant]]]
"""Returns every tenant in which scheduled tasks run."""


class Schedule:
    """Which scheduled jobs are due. Any number of processes may ask at once: the jobs' keys prevent doubles."""

    def __init__(self, job_store: JobStore, catalog: TaskCatalog, may_run: MayRun, tenants: Tenants) -> None:
        self._job_store, self._catalog, self._may_run, self._tenants = job_store, catalog, may_run, tenants
        self._stored: dict[tuple[str, str], str] = {}  # (task, zone) -> the slot whose jobs are stored
        self._zones: Sequence[str] = ()
        self._looked_at = _BEFORE

    async def store_due(self) -> int:
        """Store one job per scheduled task, tenant and slot of time that has begun; how many."""
        now = self._job_store.now()
        if now - self._looked_at >= _ANEW:
            self._stored = {key: slot for key, slot in self._stored.items() if not key[1]}
            self._looked_at = now
            self._zones = sorted({tenant.zone for tenant in await self._tenants()}) if self._by_zone() else ()
        due = [each for each in self._slots(now) if self._stored.get(each[:2]) != each[2]]
        due = [each for each in due if (await self._may_run(None, each[0])).allowed]
        if not due:
            return 0
        tenants, count = await self._tenants(), 0
        for name, in_zone, slot, began in due:
            mine = [each for each in tenants if in_zone in ("", each.zone) and each.created_at <= began]
            allowed = [each for each in mine if (await self._may_run(each.id, name)).allowed]
            await self._job_store.store([self._draft(name, each, slot, now, len(allowed)) for each in allowed])
            self._stored[name, in_zone] = slot  # after storing: what fails is tried again at the next look
            count += len(allowed)
        return count

    def _by_zone(self) -> bool:
        return any(task.at and task.zone == "tenant" for task in self._catalog.scheduled().values())

    def _slots(self, now: datetime) -> list[tuple[str, str, str, datetime]]:
        """Task, time zone ("": all), slot and its beginning, of the slot that each scheduled task is in now."""
        slots = []
        for name, task in self._catalog.scheduled().items():
            if not task.at:
                slots.append((name, "", str(slot_of(task, now)), now))
                continue
            zones = ("UTC",) if task.zone == "UTC" else self._zones
            for each in zones:
                last = last_time(task.at, now.astimezone(zone(each)), MISSED)
                if last is not None:
                    slots.append((name, "" if task.zone == "UTC" else each, _key(last), last))
        return slots

    def _draft(self, name: str, tenant: ScheduledTenant, slot: str, now: datetime, count: int) -> JobDraft:
        many = max(0, count - _TOGETHER) if self._catalog[name].at else 0
        spread = min(_SPREAD, many * _EACH)
        return JobDraft(
            task=name,
            tenant_id=tenant.id,
            run_at=now + spread * (tenant.id.int % 1000 / 1000),
            key=f"{SCHEDULED}{slot}",
            origin=Origin(request_id="", actor=NOWHERE.origin.actor),
        )


def slot_of(task: Task, now: datetime) -> int:
    """The number of the slot of time that `now` is in; slots are as long as the task's `every`, counted from 1970.

    Raises:
        ValueError: the task has no `every`.
    """
    if task.every is None:
        raise ValueError(f"task {task.name!r} is not on a schedule")
    return int(now.timestamp() // task.every.total_seconds())


def _key(time: datetime) -> str:
    """The local time, so that a tenant that moves to another zone does not get it twice; marked in an hour repeated."""
    return f"{time.replace(tzinfo=None).isoformat(timespec='minutes')}{'+' if time.fold else ''}"
