"""Feed each channel's due jobs to a worker no faster than the channel's rate and concurrency allow."""

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
"""Seconds of a channel's work that a process claims in advance, so that the channel never idles. Claimed jobs do not
take turns with other tenants any more, so a new tenant's job waits at most this long behind them."""

_RUNS = 10  # runs of one channel at once, or its concurrency if that is more: each run issues a few statements

_SORT_EVERY, _KNOWN = 2.0, 60.0  # seconds
_log = logging.getLogger("host.jobs")


class Intake:
    """How many jobs of one channel this process may claim now."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.channel = Channel(concurrency=1)
        self._clock = clock
        self._in_hand = self._runs = 0
        self._next = 0.0  # when its rate allows the next job
        self._rests_until = 0.0
        self._changed = asyncio.Event()
        self.known: dict[tuple[UUID | None, str], float] = {}  # (tenant, task) that wait here -> when last looked at

    @property
    def capacity(self) -> int:
        """How many jobs may be claimed now: a quarter of all that may be claimed at a time, or none.

        So each run that ends makes way for the next while others go on, and runs do not get smaller and smaller.
        """
        now = self._clock()
        if now < self._rests_until or self._runs >= max(_RUNS, self.channel.concurrency):
            return 0
        places, seconds = self.channel.concurrency, self.channel.seconds
        most = places + (int(places * AHEAD / seconds) if seconds else 0)
        free = max(1, most // 4)
        if self._in_hand + free > most:
            return 0
        if interval := self.channel.interval:
            ahead = now + max(AHEAD, interval) - max(self._next, now)
            free = min(free, int(ahead / interval + 1e-6))
        return max(0, free)

    def found(self, channel: Channel) -> None:
        """Store the channel's current limits, and start its rest if it asks for one."""
        self.channel = channel
        self._rests_until = self._clock() + channel.rest.total_seconds()

    def begin(self, count: int) -> Callable[[], None]:
        """Count `count` jobs as started; call the returned function when they have ended."""
        self._in_hand, self._runs = self._in_hand + count, self._runs + 1
        self._next = max(self._next, self._clock()) + count * self.channel.interval

        def end() -> None:
            self._in_hand, self._runs = self._in_hand - count, self._runs - 1
            self._changed.set()

        return end

    async def wait(self, longest: float) -> bool:
        """Wait up to `longest` seconds until a job may be claimed; True if one may."""
        interval, began = self.channel.interval, self._clock()
        while self.capacity < 1 and (left := began + longest - self._clock()) > 0:
            self._changed.clear()
            until = max(self._rests_until, self._next - max(0.0, AHEAD - interval) if interval else 0.0)
            soonest = until - self._clock() + 0.001
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, soonest) if soonest > 0 else left):
                    await self._changed.wait()
        return self.capacity > 0


class Runs(Protocol):
    """What `Channels` needs of a worker: check, run and close claimed jobs."""

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
        self._claims: set[asyncio.Task[int]] = set()
        self._stopped = False

    def start(self) -> None:
        """Let `look` start loops (again)."""
        self._stopped = False

    async def look(self) -> None:
        """Start a loop for every channel with due jobs that has none in this process."""
        try:
            due = await self._job_store.channels()
        except Exception:  # the database is unavailable: the reconciler wakes workers again
            _log.exception("the channels with due jobs could not be read")
            return
        for channel in filter(None, () if self._stopped else due):
            self._again.add(channel)
            if channel not in self._loops:
                self._loops[channel] = asyncio.create_task(self._feed(channel), name=f"channel {channel}")

    async def drain(self) -> int:
        """Run every due job of all channels whatever their limits, and wait for the runs; how many jobs."""
        due = list(filter(None, await self._job_store.channels()))
        count = sum([await self._take(channel, self._intake(channel), eager=True) for channel in due])
        if self.runs:
            await asyncio.wait(set(self.runs))
        return count

    async def stop(self) -> None:
        """Claim no more jobs; running ones go on."""
        self._stopped = True
        loops = list(self._loops.values())
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, *self._claims, return_exceptions=True)

    async def interrupt(self) -> None:
        """Cancel the running jobs, which gives them back to the job store."""
        runs = set(self.runs)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    async def move(self, job: Job, task: Task) -> Channel | None:
        """The channel of a claimed job if it waits there already; else move it to its channel, or fail it, and None."""
        try:
            name, channel = await self._executor.channel(job, task)
        except Exception as error:
            await self._worker.not_done(job, task, error)
            return None
        if name == job.channel:
            return channel
        await self._job_store.move(job, name)
        self._wakeups.wake_soon()
        return None

    def _intake(self, channel: str) -> Intake:
        return self._intakes.setdefault(channel, Intake())

    async def _feed(self, channel: str) -> None:
        intake = self._intake(channel)
        try:
            while channel in self._again:
                self._again.discard(channel)
                await self._wait_for_room(channel, intake)
                while await self._take_whole(channel, intake):
                    await self._wait_for_room(channel, intake)
        except Exception:  # the database is unavailable: claimed jobs run again after their lease
            _log.exception("jobs of channel %s could not be claimed", channel)
        finally:
            del self._loops[channel]

    async def _wait_for_room(self, channel: str, intake: Intake) -> None:
        """Wait until a job may be claimed; meanwhile move new jobs that belong to another channel to that one."""
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

    async def _take_whole(self, channel: str, intake: Intake) -> int:
        """Claim and start jobs, also when cancelled meanwhile: claimed jobs that nobody runs wait for their lease."""
        claim = asyncio.create_task(self._take(channel, intake))
        self._claims.add(claim)
        claim.add_done_callback(self._claims.discard)
        return await asyncio.shield(claim)

    async def _take(self, channel: str, intake: Intake, *, eager: bool = False) -> int:
        """Claim the next due jobs of a channel and start them; how many. eager: claim a whole batch of the task."""
        job = await self._job_store.claim(self._worker.name, channel=channel)
        if job is None:
            return 0
        with about_job(job):
            task = await self._worker.runnable(job)
            limits = await self.move(job, task) if task is not None else None
            if task is None or limits is None:
                return 1
            intake.found(limits)
            if limits.rest > timedelta(0):
                await self._job_store.release(job, "its channel accepts no jobs for now")
                return 0
            batch = task.batch_size if eager else min(task.batch_size, intake.capacity)
            jobs = [job, *(await self._job_store.claim_alike(job, batch - 1))]
            run = asyncio.create_task(self._run(jobs, task, intake.begin(len(jobs))))
        self.runs.add(run)
        run.add_done_callback(self.runs.discard)
        return len(jobs)

    async def _run(self, jobs: Sequence[Job], task: Task, ended: Callable[[], None]) -> None:
        try:
            await self._worker.run(jobs, task)
        except Exception:
            _log.exception("the outcome of jobs could not be stored: they run again after their lease")
        finally:
            ended()
