"""Feed each channel's due jobs to a worker as fast as the channel takes them, and no faster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Protocol
from uuid import UUID

from host.contracts import Channel, Task
from host.jobs.executor import Executor
from host.jobs.job_store import JobStore
from host.jobs.models import Job
from host.jobs.progress import about_job
from host.jobs.wakeups import Wakeups

AHEAD = 1.0
"""Seconds: a process holds so much more of a channel's work than is under way, so that no place of it idles. What is
held waits for nobody else's turn any more, so this is also how long a newcomer waits behind it."""

_RUNS = 10  # of one channel at once, or as many as it takes jobs: each run has a few statements of its own

_SORT_EVERY, _KNOWN = 2.0, 60.0  # seconds
_log = logging.getLogger("host.jobs")


class Intake:
    """How much of one channel's work this process may take in hand."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.channel = Channel(concurrency=1)
        self._clock = clock
        self._in_hand = self._runs = self._ended = 0
        self._pace = 0.0  # jobs a second that the channel was seen to take
        self._next = 0.0  # when its rate has a place again
        self._rests_until = 0.0
        self._changed = asyncio.Event()
        self.known: dict[tuple[UUID | None, str], float] = {}  # (tenant, task) that wait here -> when last looked at

    @property
    def room(self) -> int:
        """How many jobs may be taken now."""
        now = self._clock()
        if now < self._rests_until or self._runs >= max(_RUNS, self.channel.concurrency):
            return 0
        room = int(self.channel.concurrency + self._pace * AHEAD) - self._in_hand
        if interval := self.channel.interval:
            ahead = now + max(AHEAD, interval) - max(self._next, now)
            room = min(room, int(ahead / interval + 1e-6))
        return max(0, room)

    def found(self, channel: Channel) -> None:
        """What the channel says of itself now."""
        self.channel = channel
        self._rests_until = self._clock() + channel.rest.total_seconds()

    def begin(self, count: int) -> Callable[[], None]:
        """So many jobs are taken; call the answer when they have ended."""
        began, before = self._clock(), self._ended
        self._in_hand, self._runs = self._in_hand + count, self._runs + 1
        self._next = max(self._next, began) + count * self.channel.interval

        def end() -> None:
            self._in_hand, self._runs, self._ended = self._in_hand - count, self._runs - 1, self._ended + count
            seen = (self._ended - before) / max(0.001, self._clock() - began)
            self._pace = (self._pace + seen) / 2
            self._changed.set()

        return end

    async def wait(self, longest: float) -> bool:
        """Wait for room, so many seconds at most; whether there is some."""
        interval, began = self.channel.interval, self._clock()
        while self.room < 1 and (left := began + longest - self._clock()) > 0:
            self._changed.clear()
            until = max(self._rests_until, self._next - max(0.0, AHEAD - interval) if interval else 0.0)
            soonest = until - self._clock() + 0.001
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, soonest) if soonest > 0 else left):
                    await self._changed.wait()
        return self.room > 0


class Runs(Protocol):
    """What a worker does with claimed jobs."""

    name: str

    async def runnable(self, job: Job) -> Task | None: ...
    async def run(self, jobs: Sequence[Job], task: Task) -> None: ...
    async def not_done(self, job: Job, task: Task, outcome: BaseException) -> None: ...


class Channels:
    """One loop for each channel with due jobs, and the runs that go through them."""

    def __init__(self, worker: Runs, job_store: JobStore, executor: Executor, wakeups: Wakeups) -> None:
        self._worker, self._job_store, self._executor, self._wakeups = worker, job_store, executor, wakeups
        self.runs: set[asyncio.Task[None]] = set()
        self._intakes: dict[str, Intake] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()

    async def look(self) -> None:
        """See to every channel with due jobs that nobody here sees to."""
        try:
            due = await self._job_store.channels()
        except Exception:  # the database is away: the reconciler rings again
            _log.exception("no channel could be looked at")
            return
        for channel in filter(None, due):
            self._again.add(channel)
            if channel not in self._loops:
                self._loops[channel] = asyncio.create_task(self._feed(channel), name=f"channel {channel}")

    async def drain(self) -> int:
        """Take what is due in channels, whatever room there is, and wait for it; how much there was."""
        due = list(filter(None, await self._job_store.channels()))
        count = sum([await self._take(channel, self._intake(channel), eager=True) for channel in due])
        if self.runs:
            await asyncio.wait(set(self.runs))
        return count

    async def stop(self) -> None:
        """Take nothing more; what runs goes on."""
        loops = list(self._loops.values())
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    async def interrupt(self) -> None:
        """Give back what still runs."""
        runs = set(self.runs)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    async def move(self, job: Job, task: Task) -> Channel | None:
        """The channel a claimed job may go through now; None where it does not: it waits for it then, or has failed."""
        try:
            name, channel = await self._executor.channel(job, task)
        except Exception as error:
            await self._worker.not_done(job, task, error)
            return None
        if name == job.channel:
            return channel
        await self._job_store.move(job, name)
        self._wakeups.ring_soon()
        return None

    def _intake(self, channel: str) -> Intake:
        return self._intakes.setdefault(channel, Intake())

    async def _feed(self, channel: str) -> None:
        intake = self._intake(channel)
        try:
            while channel in self._again:
                self._again.discard(channel)
                await self._room(channel, intake)
                while await self._take(channel, intake):
                    await self._room(channel, intake)
        except Exception:  # the database is away: what was claimed runs again after its lease
            _log.exception("jobs of channel %s could not be taken", channel)
        finally:
            del self._loops[channel]

    async def _room(self, channel: str, intake: Intake) -> None:
        """Wait for room. Meanwhile those go that wait here since they are new, and belong to another channel."""
        while not await intake.wait(_SORT_EVERY):
            now = monotonic()
            intake.known = {owner: at for owner, at in intake.known.items() if now - at < _KNOWN}
            for tenant_id, name in await self._job_store.owners(channel):
                job = (
                    None if (tenant_id, name) in intake.known else await self._job_store.first(channel, tenant_id, name)
                )
                task = await self._worker.runnable(job) if job is not None else None
                if job is not None and task is not None:
                    await self.move(job, task)
                intake.known.setdefault((tenant_id, name), now)

    async def _take(self, channel: str, intake: Intake, *, eager: bool = False) -> int:
        """Claim the next due jobs of a channel and start them; how many. eager: as many as run together."""
        job = await self._job_store.claim(self._worker.name, channel=channel)
        if job is None:
            return 0
        with about_job(job):
            task = await self._worker.runnable(job)
            found = await self.move(job, task) if task is not None else None
            if task is None or found is None:
                return 1
            intake.found(found)
            if found.rest > timedelta(0):
                await self._job_store.release(job, "its channel takes nothing for a while")
                return 0
            # half of the room, so that runs end one after the other and each makes room while others go on
            most = task.batch_size if eager else min(task.batch_size, (intake.room + 1) // 2)
            jobs = [job, *(await self._job_store.claim_alike(job, most - 1))]
            run = asyncio.create_task(self._run(jobs, task, intake.begin(len(jobs))))
        self.runs.add(run)
        run.add_done_callback(self.runs.discard)
        return len(jobs)

    async def _run(self, jobs: Sequence[Job], task: Task, ended: Callable[[], None]) -> None:
        try:
            await self._worker.run(jobs, task)
        except Exception:
            _log.exception("jobs could not be closed: they run again after their lease")
        finally:
            ended()
