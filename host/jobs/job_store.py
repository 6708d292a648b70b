"""Store jobs in the transaction that asked for them, and record each change of their state."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import orjson
from tortoise.expressions import F, Q
from tortoise.functions import Count, Min
from tortoise.queryset import QuerySet

from host.contracts import Actor, Origin
from host.jobs.arguments import StoredArguments
from host.jobs.catalog import JobDraft
from host.jobs.claims import LAST, NOBODY, channels_due, take_alike, take_next
from host.jobs.models import Job, JobState
from tenants.context import bind, current_or_none

Insert = Callable[[Sequence[Job]], Awaitable[None]]
"""Writes new jobs; those whose id or key is on record are dropped."""

_log = logging.getLogger("host.jobs")
_BATCH = 500
_LONGEST_ERROR = 4000
WAITING = (JobState.SCHEDULED, JobState.QUEUED)
_CENSUS_KEPT = timedelta(seconds=5)
FINAL = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def _insert(rows: Sequence[Job]) -> None:
    await Job.bulk_create(rows, ignore_conflicts=True)


@dataclass(frozen=True, slots=True)
class Census:
    """The number of jobs of a task in a state, and when the first of them was due."""

    task: str
    state: str
    number: int
    oldest: datetime


class JobStore:
    """Reads and changes the `jobs` table. Runs on the bound database, in the caller's transaction where there is one.

    What a worker reports of its job (`finish`, `fail`, ...) counts only while it holds the job: same worker, same try.
    Such methods return whether it still did.
    """

    def __init__(
        self,
        *,
        lease: timedelta = timedelta(seconds=60),
        now: Callable[[], datetime] = _utc_now,
        insert: Insert = _insert,
        channel_of: Callable[[str], str] = lambda task: "",
        stored: StoredArguments | None = None,
    ) -> None:
        """lease: time without a sign of life after which a running job counts as abandoned; 60 s by default.
        insert: writes new jobs.

        channel_of: the channel that new jobs of a task wait for. stored: encrypts secret arguments; without it a job
        that has any is refused.
        """
        self._insert = insert
        self._channel_of = channel_of
        self._stored = stored
        self.lease = lease
        self.now = now
        self._turns: dict[str, UUID] = {}  # channel -> the tenant served last
        self._census: tuple[datetime, list[Census]] | None = None

    # -- accepting -----------------------------------------------------------------------------------------

    async def store(self, drafts: Sequence[JobDraft]) -> None:
        """Accept jobs; those whose key is on record already are dropped."""
        if replaced := [draft.id for draft in drafts if draft.replace]:
            await Job.filter(id__in=replaced).delete()
        for start in range(0, len(drafts), _BATCH):
            now = self.now()
            rows = [
                _row(self._with_secrets_encrypted(draft), now, self._channel_of(draft.task))
                for draft in drafts[start : start + _BATCH]
            ]
            own = all(row.tenant_id == current_or_none() for row in rows)
            with nullcontext() if own else bind(None):  # jobs of several tenants, or of none, are the host's to write
                await self._insert(rows)

    def arguments(self, job: Job) -> dict[str, Any]:
        """A job's arguments with their secrets decrypted.

        Raises:
            GiveUp: a secret cannot be decrypted.
        """
        return self._stored.opened(job.arguments, job.tenant_id, job.task) if self._stored else job.arguments

    def _with_secrets_encrypted(self, draft: JobDraft) -> JobDraft:
        if self._stored is None or not draft.arguments:
            return draft
        return replace(draft, arguments=self._stored.closed(draft.arguments, draft.tenant_id, draft.task))

    # -- running -------------------------------------------------------------------------------------------

    async def claim(self, worker: str, *, last: int = LAST, channel: str = "") -> Job | None:
        """Take the next due job of a channel for `worker`, or None: callers at the same time get different jobs.

        The lowest priority number first, among which tenants take turns, so many jobs of one do not delay another's.
        last: the last priority that may be taken.
        """
        now, turn = self.now(), self._turns.get(channel, NOBODY)
        rows = await take_next(Job._meta.db, worker, now + self.lease, now, turn, last, channel)
        if not rows:
            return None
        job = Job._init_from_db(**rows[0])
        self._turns[channel] = job.tenant_id or NOBODY
        return job

    async def claim_alike(self, job: Job, most: int) -> list[Job]:
        """Claim up to `most` further due jobs of the same task, tenant, priority and channel for the same worker."""
        if job.tenant_id is None or most < 1:
            return []
        now, worker = self.now(), job.worker or ""
        mine = (job.priority, job.tenant_id, job.task, job.channel)
        rows = await take_alike(Job._meta.db, worker, now + self.lease, now, *mine, most)
        return [Job._init_from_db(**row) for row in rows]

    async def channels(self) -> list[str]:
        """The channels in which jobs are due."""
        return await channels_due(Job._meta.db)

    async def owners(self, channel: str) -> list[tuple[UUID | None, str]]:
        """The distinct (tenant, task) pairs of the jobs due in a channel."""
        due = Job.filter(state=JobState.QUEUED, channel=channel).distinct()
        return [(tenant_id, task) for tenant_id, task in await due.values_list("tenant_id", "task")]

    async def first(self, channel: str, tenant_id: UUID | None, task: str) -> Job | None:
        """One of the due jobs of a task in a channel, not claimed."""
        due = Job.filter(state=JobState.QUEUED, channel=channel, task=task)
        return await (due.filter(tenant_id=tenant_id) if tenant_id else due.filter(tenant_id__isnull=True)).first()

    async def move(self, job: Job, channel: str) -> None:
        """Move a job, claimed or not, to another channel, with the waiting jobs of its task, tenant and channel."""
        alike = Job.filter(task=job.task, tenant_id=job.tenant_id, channel=job.channel, state__in=WAITING)
        await alike.update(channel=channel)
        await self._held(job).update(channel=channel)
        await self.release(job, job.error)

    async def wake(self) -> int:
        """Queue the scheduled jobs whose time has come; how many."""
        due = Job.filter(state=JobState.SCHEDULED, run_at__lte=self.now())
        return await due.update(state=JobState.QUEUED)

    async def beat(self, worker: str, held: Collection[UUID]) -> set[UUID]:
        """Extend the lease of the jobs a worker runs; returns the ids of those it does not hold any more."""
        if not held:
            return set()
        mine = Job.filter(id__in=list(held), worker=worker, state=JobState.RUNNING)
        if await mine.update(lease_until=self.now() + self.lease) == len(held):
            return set()
        return set(held) - set(await mine.values_list("id", flat=True))

    async def report(self, job: Job, progress: float) -> bool:
        """Note how far a running job is, 0..1."""
        return await self._held(job).update(progress=min(1.0, max(0.0, progress))) == 1

    async def finish(self, job: Job) -> bool:
        """Mark a job as done; False if this worker did not hold it any more."""
        return await self.finish_all([job]) == 1

    async def finish_all(self, jobs: Sequence[Job]) -> int:
        """Mark jobs as done; how many of them this worker still held."""
        done = {"state": JobState.DONE, "error": "", "finished_at": self.now(), "lease_until": None, "progress": 1.0}
        count = 0
        for (worker, attempts), alike in groupby(sorted(jobs, key=_holding), key=_holding):
            held = Job.filter(id__in=[job.id for job in alike], state=JobState.RUNNING)
            count += await held.filter(worker=worker, attempts=attempts).update(**done)
        return count

    async def fail(self, job: Job, error: str) -> bool:
        """Mark a job as failed for good, with the reason."""
        return await self._close(job, JobState.FAILED, error)

    async def drop(self, job: Job, reason: str) -> bool:
        """Cancel a claimed job that has become pointless, such as when its tenant is gone."""
        return await self._close(job, JobState.CANCELLED, reason)

    async def retry_later(self, job: Job, error: str, wait: timedelta, *, counts: bool = True) -> bool:
        """Run a job again after `wait`. counts: whether this run is one of its tries."""
        state = JobState.SCHEDULED if wait > timedelta(0) else JobState.QUEUED
        return await self._give_back(job, state, error, run_at=self.now() + wait, counts=counts)

    async def release(self, job: Job, reason: str) -> bool:
        """Queue a claimed job again as if it had not been claimed, such as when the worker stops."""
        return await self._give_back(job, JobState.QUEUED, reason, run_at=job.run_at, counts=False)

    async def park(self, job: Job, reason: str) -> bool:
        """Park a claimed job that may not run now, with the reason."""
        return await self._give_back(job, JobState.PARKED, reason, run_at=job.run_at, counts=False)

    # -- parking whole plugins -----------------------------------------------------------------------------

    async def park_waiting(self, plugin: str, tenant_id: UUID, reason: str) -> int:
        """Park the waiting jobs of a plugin in a tenant; how many."""
        waiting = Job.filter(plugin=plugin, tenant_id=tenant_id, state__in=WAITING)
        return await waiting.update(state=JobState.PARKED, error=_legible(reason))

    async def unpark(self, plugin: str, tenant_id: UUID | None, tasks: Collection[str] | None = None) -> int:
        """Let a plugin's parked jobs in a tenant (None: those of no tenant) run; how many.

        tasks: only jobs of these tasks.
        """
        parked = Job.filter(plugin=plugin, state=JobState.PARKED)
        parked = parked.filter(tenant_id__isnull=True) if tenant_id is None else parked.filter(tenant_id=tenant_id)
        if tasks is not None:
            parked = parked.filter(task__in=list(tasks))
        count = await parked.update(state=JobState.SCHEDULED, error="")
        await self.wake()
        return count

    async def parked(self, limit: int = 1000) -> list[tuple[UUID | None, str, str]]:
        """The distinct (tenant, plugin, task) of parked jobs."""
        parked = Job.filter(state=JobState.PARKED).distinct().limit(limit)
        return [
            (tenant, plugin, task) for tenant, plugin, task in await parked.values_list("tenant_id", "plugin", "task")
        ]

    # -- maintenance ---------------------------------------------------------------------------------------

    async def due(self) -> int:
        """How many jobs could run now."""
        return await Job.filter(state=JobState.QUEUED).count()

    async def abandoned(self, limit: int = 500) -> list[Job]:
        """Running jobs whose worker has been silent for longer than the lease."""
        return await Job.filter(state=JobState.RUNNING, lease_until__lt=self.now()).limit(limit)

    async def clean(self, finished_before: datetime, scheduled_before: datetime) -> int:
        """Delete jobs that ended before a time; those of schedules have their own, as their keys guard slots."""
        final = Job.filter(state__in=FINAL)
        scheduled = Q(key__startswith=SCHEDULED)
        other = Q(key__isnull=True) | ~scheduled  # a key that is NULL is neither like the pattern nor unlike it
        removed = await final.filter(other, finished_at__lt=finished_before).delete()
        return removed + await final.filter(scheduled, finished_at__lt=scheduled_before).delete()

    # -- for operators -------------------------------------------------------------------------------------

    async def get(self, job_id: UUID) -> Job | None:
        """One job."""
        return await Job.get_or_none(id=job_id)

    async def find(
        self,
        *,
        state: JobState | None = None,
        tenant_id: UUID | None = None,
        plugin: str | None = None,
        limit: int = 50,
    ) -> list[Job]:
        """The newest jobs that match."""
        conditions = {"state": state, "tenant_id": tenant_id, "plugin": plugin}
        matching = Job.filter(**{name: value for name, value in conditions.items() if value is not None})
        return await matching.order_by("-id").limit(limit)

    async def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return {state.value: await Job.filter(state=state).count() for state in JobState}

    async def census(self) -> list[Census]:
        """How many jobs of each task are in each state, those that are done or cancelled left out.

        Cached for 5 seconds, as it reads every waiting job.
        """
        if self._census is None or self.now() - self._census[0] > _CENSUS_KEPT:
            living = Job.exclude(state__in=[JobState.DONE, JobState.CANCELLED])
            rows = (
                await living.annotate(number=Count("id"), oldest=Min("run_at"))
                .group_by("task", "state")
                .values("task", "state", "number", "oldest")
            )
            self._census = self.now(), [Census(**row) for row in rows]
        return self._census[1]

    async def cancel(self, job_id: UUID) -> bool:
        """Cancel a job, a running one too (interrupted when its lease is next extended); whether there was one."""
        open_job = Job.filter(id=job_id).exclude(state__in=FINAL)
        changed = await open_job.update(
            state=JobState.CANCELLED, finished_at=self.now(), error="cancelled", worker=None
        )
        return changed == 1

    async def retry(self, job_id: UUID) -> bool:
        """Run a failed or cancelled job from the start, with all its tries; whether there was one."""
        ended = Job.filter(id=job_id, state__in=[JobState.FAILED, JobState.CANCELLED])
        again = ended.update(state=JobState.QUEUED, run_at=self.now(), attempts=0, finished_at=None, progress=0.0)
        return await again == 1

    async def purge(self, tenant_id: UUID) -> int:
        """Remove every job of a tenant that is being purged."""
        return await Job.filter(tenant_id=tenant_id).delete()

    # -- steps ---------------------------------------------------------------------------------------------

    def _held(self, job: Job) -> QuerySet[Job]:
        return Job.filter(id=job.id, state=JobState.RUNNING, worker=job.worker, attempts=job.attempts)

    async def _close(self, job: Job, state: JobState, error: str) -> bool:
        closed = self._held(job).update(state=state, error=_legible(error), finished_at=self.now(), lease_until=None)
        return await closed == 1

    async def _give_back(self, job: Job, state: JobState, error: str, *, run_at: datetime, counts: bool) -> bool:
        back = self._held(job).update(
            state=state,
            error=_legible(error),
            run_at=run_at,
            lease_until=None,
            worker=None,
            attempts=F("attempts") - (0 if counts else 1),
        )
        return await back == 1


def _holding(job: Job) -> tuple[str, int]:
    return job.worker or "", job.attempts


SCHEDULED = "schedule:"
"""How the keys of scheduled jobs begin."""


def origin_of(job: Job) -> Origin:
    """The origin to bind while a job runs: the request that started it, with the job as actor for that person."""
    stored = job.origin
    user_id = stored.get("user_id")
    return Origin(
        request_id=stored.get("request_id", ""),
        actor=Actor("job", id=job.id, label=job.task, user_id=UUID(user_id) if user_id else None),
        address=stored.get("address", ""),
        user_agent=stored.get("user_agent", ""),
    )


def _row(draft: JobDraft, now: datetime, channel: str) -> Job:
    origin = draft.origin
    return Job(
        id=draft.id,
        task=draft.task,
        plugin=draft.plugin,
        tenant_id=draft.tenant_id,
        arguments=orjson.loads(orjson.dumps(dict(draft.arguments))),
        origin={
            "request_id": origin.request_id,
            "user_id": str(origin.actor.user_id) if origin.actor.user_id else None,
            "by": origin.actor.label,
            # Without a person these could neither be found for somebody's personal data nor be erased.
            "address": origin.address if origin.actor.user_id else "",
            "user_agent": origin.user_agent if origin.actor.user_id else "",
            **({"traceparent": draft.traceparent} if draft.traceparent else {}),
        },
        channel=channel,
        priority=draft.priority,
        key=_stored_key(draft),
        run_at=draft.run_at,
        state=JobState.SCHEDULED if draft.run_at > now else JobState.QUEUED,
    )


def _stored_key(draft: JobDraft) -> str | None:
    if draft.key is None:
        return None
    kind = SCHEDULED if draft.key.startswith(SCHEDULED) else ""
    return f"{kind}{draft.tenant_id or ''}:{draft.task}:{draft.key}"


def _legible(error: str) -> str:
    return error.replace("\x00", "")[:_LONGEST_ERROR]  # PostgreSQL's text holds no zero byte
