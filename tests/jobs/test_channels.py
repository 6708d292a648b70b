"""Channels: no more is taken in hand than goes through, in turns, and a slow one holds up nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from host.contracts import Channel
from host.jobs.channels import AHEAD, Intake
from host.jobs.models import Job, JobState
from host.jobs.outcomes import Backoff, TryAgain
from tenants.context import current
from tests.jobs.conftest import JobSetup


class Slow:
    """A task that goes through something with so many places, each taken for a while."""

    def __init__(self, places: int, seconds: float) -> None:
        self.channels: dict[int, Channel] = {}
        self.usual = Channel(concurrency=places, seconds=seconds)
        self._places, self._seconds = asyncio.Semaphore(places), seconds
        self.done: list[str] = []
        self.most = self.in_hand = 0

    async def channel(self) -> Channel:
        return self.channels.get(current().int, self.usual)

    async def run(self, items: Sequence[dict[str, Any]]) -> Sequence[None]:
        self.in_hand += len(items)
        self.most = max(self.most, self.in_hand)
        await asyncio.gather(*(self._one(f"{current().int}{item['name']}") for item in items))
        self.in_hand -= len(items)
        return [None] * len(items)

    async def _one(self, name: str) -> None:
        async with self._places:
            await asyncio.sleep(self._seconds)
            self.done.append(name)


async def _store(job_setup: JobSetup, tenant: int, *names: str, **more: Any) -> list[UUID]:
    return [await job_setup.store(tenant_id=UUID(int=tenant), arguments={"name": name}, **more) for name in names]


async def _until_done(job_setup: JobSetup, slow: Slow, *names: str, seconds: float = 30.0) -> None:
    async def done() -> bool:
        return set(names) <= set(slow.done)

    await job_setup.until(done, seconds)


async def test_jobs_when_their_channel_is_slow_then_few_are_in_hand_and_a_newcomer_is_next(job_setup: JobSetup) -> None:
    slow = Slow(places=4, seconds=0.25)
    job_setup.task(slow.run, batch_size=50, channel=slow.channel)
    await _store(job_setup, 1, *(f"a{number}" for number in range(200)))
    await job_setup.runner(concurrency=10).start()
    job_setup.wakeups.wake_soon(10)
    await _until_done(job_setup, slow, "1a0", "1a20")
    await _store(job_setup, 2, "b")
    await _store(job_setup, 3, "reset", priority=-10)
    job_setup.wakeups.wake_soon()
    before = len(slow.done)
    await _until_done(job_setup, slow, "2b", "3reset")
    assert slow.most <= 4 + 4 / 0.25 * AHEAD
    assert len(slow.done) - before <= 60
    assert slow.done.index("3reset") < slow.done.index("2b") + 20


async def test_jobs_when_a_channel_is_slow_then_other_work_and_other_channels_go_on(job_setup: JobSetup) -> None:
    slow, own, quick = Slow(places=1, seconds=30), Slow(places=1, seconds=0), []
    slow.channels[2] = Channel("own", concurrency=1)

    async def send(items: Sequence[dict[str, Any]]) -> Sequence[None]:
        return await (own if current().int == 2 else slow).run(items)

    async def other() -> None:
        quick.append("other")

    job_setup.task(send, batch_size=5, channel=slow.channel)
    job_setup.task(other, "projects.other")
    await job_setup.runner(concurrency=2).start()
    stuck = await _store(job_setup, 1, *(f"a{number}" for number in range(20)))
    job_setup.wakeups.wake_soon(10)
    await job_setup.until_state(stuck[0], JobState.RUNNING)
    await _store(job_setup, 2, "b")
    await job_setup.store("projects.other")
    job_setup.wakeups.wake_soon()
    await _until_done(job_setup, own, "2b")

    async def ran() -> bool:
        return quick == ["other"]

    await job_setup.until(ran)
    assert await Job.filter(channel="mail/own").count() == 1
    assert await Job.filter(tenant_id=UUID(int=1), state=JobState.RUNNING).count() == 1


async def test_jobs_when_their_channel_rests_then_they_wait_untouched_until_it_is_over(job_setup: JobSetup) -> None:
    slow = Slow(places=4, seconds=0)
    slow.usual = Channel(rest=timedelta(seconds=1))
    job_setup.task(slow.run, batch_size=5, channel=slow.channel)
    ids = await _store(job_setup, 1, *(f"a{number}" for number in range(20)))
    await job_setup.runner().start()
    await job_setup.reconciler().start()
    await asyncio.sleep(0.5)
    assert slow.done == []
    assert await Job.filter(state=JobState.QUEUED, attempts=0).count() >= 19  # one may just be looked at
    slow.usual = Channel()
    for job_id in ids:
        await job_setup.until_state(job_id, JobState.DONE)


async def test_jobs_when_stored_before_their_task_had_a_channel_then_moved_to_it(job_setup: JobSetup) -> None:
    slow = Slow(places=4, seconds=0)
    job_setup.task(slow.run, batch_size=5)
    await _store(job_setup, 1, "a", "b")
    job_setup.task(slow.run, batch_size=5, channel=slow.channel)
    await job_setup.runner().drain()
    assert sorted(slow.done) == ["1a", "1b"]
    assert await Job.filter(channel="mail", state=JobState.DONE, attempts=1).count() == 2


async def test_run_when_it_says_when_to_try_again_then_by_that_and_not_by_the_tasks_tries(job_setup: JobSetup) -> None:
    async def send() -> None:
        raise TryAgain("come back later", Backoff(60, within=190))

    job_setup.task(send, tries=1)
    job_id, waits = await job_setup.store(), []
    for _ in range(3):
        await job_setup.runner().drain()
        job = await job_setup.job(job_id)
        waits.append((job.run_at - job_setup.clock()).total_seconds())
        job_setup.clock.ahead += timedelta(hours=1)
    assert (job.state, job.attempts, job.error) == (JobState.SCHEDULED, 3, "come back later")
    assert waits == [pytest.approx(wait, rel=0.35) for wait in (60, 120, 240)]
    await job_setup.runner().drain()
    assert (await job_setup.job(job_id)).state == JobState.FAILED


def test_intake_when_the_channel_has_a_rate_then_no_more_than_fits_into_a_second_or_one() -> None:
    now = 1000.0
    intake = Intake(lambda: now)
    intake.found(Channel(concurrency=50, interval=0.1))
    assert intake.capacity == 10
    intake.begin(10)
    assert intake.capacity == 0
    now += 0.5
    assert intake.capacity == 5
    seldom = Intake(lambda: now)
    seldom.found(Channel(interval=60))
    assert seldom.capacity == 1
    seldom.begin(1)
    now += 59
    assert seldom.capacity == 0
    now += 2
    assert seldom.capacity == 1


@pytest.mark.parametrize(("seconds", "capacity"), [(0.0, 2), (0.005, 502), (1.0, 5), (30.0, 2)])
def test_intake_when_the_channel_is_quick_then_more_is_taken_than_when_it_is_slow(
    seconds: float, capacity: int
) -> None:
    intake = Intake(lambda: 1000.0)
    intake.found(Channel(concurrency=10, seconds=seconds))
    assert intake.capacity == capacity
    ends = [intake.begin(capacity) for _ in range(4)]
    ends += [intake.begin(capacity)] if intake.capacity else []
    assert intake.capacity == 0
    ends[0]()
    assert intake.capacity == capacity


@pytest.mark.parametrize("after", [0.0, 0.01, 0.03, 0.1])
async def test_stop_when_jobs_go_through_channels_then_ended_or_given_back_and_none_waits_for_its_lease(
    job_setup: JobSetup, after: float
) -> None:
    slow = Slow(places=2, seconds=0.2)
    job_setup.task(slow.run, batch_size=2, channel=slow.channel)
    await _store(job_setup, 1, *(f"a{number}" for number in range(20)))
    runner = job_setup.runner()
    for grace in (5.0, 0.0):
        await runner.start()
        await job_setup.wakeups.wake()

        async def some_run() -> bool:
            return await Job.filter(state=JobState.RUNNING).exists()

        await job_setup.until(some_run)
        await asyncio.sleep(after)
        await runner.stop(grace)
        assert {job.state for job in await Job.all()} <= {JobState.DONE, JobState.QUEUED}
        assert {job.attempts for job in await Job.filter(state=JobState.QUEUED)} <= {0}
