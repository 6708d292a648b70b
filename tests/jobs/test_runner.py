from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from host.contracts import Actor, Origin
from host.execution_context import actor, origin, plugin
from host.jobs.executor import note_progress
from host.jobs.models import Job, JobState
from host.jobs.outcomes import GiveUp, Postpone
from tenants.context import bind, current, current_or_none

JobSetup = Any


async def test_wakeup_when_sent_then_job_runs_with_tenant_origin_plugin_and_typed_arguments(
    job_setup: JobSetup,
) -> None:
    user, thing, seen = uuid4(), uuid4(), []

    async def send(thing: UUID, at: datetime, count: int = 1) -> None:
        seen.append((current(), actor().kind, actor().user_id, origin().request_id, plugin(), thing, at, count))

    job_setup.task(send)
    await job_setup.runner().start()
    at = datetime(2026, 1, 2, tzinfo=UTC)
    started_by = Origin("req-1", Actor("user", id=user, user_id=user))
    job_id = await job_setup.store(arguments={"thing": thing, "at": at}, origin=started_by)
    job_setup.wakeups.wake_soon()
    await job_setup.until_state(job_id, JobState.DONE)
    assert seen == [(job_setup.tenants[0], "job", user, "req-1", "mail", thing, at, 1)]
    assert current_or_none() is None


async def test_jobs_when_several_runners_work_then_each_runs_once(job_setup: JobSetup) -> None:
    ran: list[int] = []

    async def send(number: int) -> None:
        await asyncio.sleep(0.005)
        ran.append(number)

    job_setup.task(send)
    for _ in range(3):
        await job_setup.runner(concurrency=4).start()
    for number in range(100):
        await job_setup.store(arguments={"number": number})
    job_setup.wakeups.wake_soon(150)  # more often than there are jobs: nobody minds

    async def all_done() -> bool:
        return await Job.filter(state=JobState.DONE).count() == 100

    await job_setup.until(all_done)
    assert sorted(ran) == list(range(100))


async def test_run_when_task_fails_then_tried_again_with_growing_waits_until_kept_as_failed(
    job_setup: JobSetup,
) -> None:
    async def send() -> None:
        raise ConnectionError("the mail server is away")

    job_setup.task(send, tries=3, backoff=10.0)
    job_id, runner, waits = await job_setup.store(), job_setup.runner(), []
    for _ in range(3):
        before = job_setup.clock()
        assert await runner.run_next()
        assert not await runner.run_next(), "not before its time"
        job = await job_setup.job(job_id)
        waits.append((job.run_at - before).total_seconds())
        job_setup.clock.ahead += timedelta(minutes=1)
        await job_setup.job_store.wake()
    assert 7.5 <= waits[0] <= 12.6
    assert 15 <= waits[1] <= 25.1
    assert (job.state, job.attempts) == (JobState.FAILED, 3)
    assert job.error == "ConnectionError: the mail server is away"
    assert not await runner.run_next()


async def test_run_when_second_try_succeeds_then_done_without_error(job_setup: JobSetup) -> None:
    async def send() -> None:
        job_setup.ran.append("try")
        if len(job_setup.ran) < 2:
            raise ValueError("once")

    job_setup.task(send)
    job_id = await job_setup.store()
    assert await job_setup.runner().drain() == 2
    job = await job_setup.job(job_id)
    assert (job.state, job.error, job.progress) == (JobState.DONE, "", 1.0)


async def test_run_when_task_gives_up_then_failed_at_once_with_its_reason(job_setup: JobSetup) -> None:
    async def send() -> None:
        raise GiveUp("the address does not exist")

    job_setup.task(send, tries=5)
    job_id = await job_setup.store()
    assert await job_setup.runner().drain() == 1
    job = await job_setup.job(job_id)
    assert (job.state, job.attempts, job.error) == (JobState.FAILED, 1, "the address does not exist")


async def test_run_when_task_postpones_then_later_and_no_try_is_lost(job_setup: JobSetup) -> None:
    async def send() -> None:
        raise Postpone(timedelta(minutes=5))

    job_setup.task(send, tries=1)
    job_id = await job_setup.store()
    for _ in range(3):
        assert await job_setup.runner().drain() == 1
        job_setup.clock.ahead += timedelta(minutes=6)
    assert ((await job_setup.job(job_id)).state, (await job_setup.job(job_id)).attempts) == (JobState.SCHEDULED, 0)


async def test_run_when_task_takes_too_long_then_cancelled_and_tried_again(job_setup: JobSetup) -> None:
    async def send() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            job_setup.ran.append("cancelled")
            raise

    job_setup.task(send, timeout=0.1, tries=2)
    job_id = await job_setup.store()
    assert await job_setup.runner().drain() == 2
    job = await job_setup.job(job_id)
    assert (job.state, job.error, job_setup.ran) == (JobState.FAILED, "took longer than 0.1 seconds", ["cancelled"] * 2)


async def test_run_when_task_does_not_heed_cancelling_then_worker_goes_on(
    job_setup: JobSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.jobs.runner._HEED_CANCELLING", 0.05)
    release = asyncio.Event()

    async def send() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    job_setup.task(send, timeout=0.05, tries=1)
    job_id = await job_setup.store()
    async with asyncio.timeout(3):
        assert await job_setup.runner().drain() == 1
    assert (await job_setup.job(job_id)).state == JobState.FAILED
    release.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize("escape", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_run_when_task_tries_to_leave_then_it_is_a_failure_and_worker_lives(
    job_setup: JobSetup, escape: BaseException
) -> None:
    async def send() -> None:
        raise escape

    job_setup.task(send, tries=1)
    job_id = await job_setup.store()
    assert await job_setup.runner().drain() == 1
    job = await job_setup.job(job_id)
    assert job.state == JobState.FAILED
    assert type(escape).__name__ in job.error


@pytest.mark.parametrize("arguments", [{}, {"number": "word"}, {"number": 1, "stranger": 2}])
async def test_run_when_arguments_do_not_fit_then_failed_at_once(
    job_setup: JobSetup, arguments: dict[str, Any]
) -> None:
    async def send(number: int) -> None:
        job_setup.ran.append("never")

    job_setup.task(send)
    job_id = await job_setup.store(arguments=arguments)
    assert await job_setup.runner().drain() == 1
    job = await job_setup.job(job_id)
    assert (job.state, job_setup.ran) == (JobState.FAILED, [])
    assert "do not fit" in job.error or "does not fit" in job.error


async def test_run_when_plugin_is_off_then_parked_with_the_reason_and_runs_when_on(job_setup: JobSetup) -> None:
    async def send() -> None:
        job_setup.ran.append("sent")

    job_setup.task(send)
    job_id = await job_setup.store()
    job_setup.off["mail"] = "mail is switched off for this organisation"
    await job_setup.runner().drain()
    job = await job_setup.job(job_id)
    assert (job.state, job.error, job.attempts) == (JobState.PARKED, job_setup.off["mail"], 0)
    del job_setup.off["mail"]
    assert await job_setup.job_store.unpark("mail", job_setup.tenants[0]) == 1
    await job_setup.runner().drain()
    assert ((await job_setup.job(job_id)).state, job_setup.ran) == (JobState.DONE, ["sent"])


async def test_run_when_task_is_unknown_then_parked_not_lost(job_setup: JobSetup) -> None:
    job_id = await job_setup.store("gone.task")
    await job_setup.runner().drain()
    job = await job_setup.job(job_id)
    assert job.state == JobState.PARKED
    assert "gone.task" in job.error


async def test_run_when_tenant_is_gone_then_failed(job_setup: JobSetup) -> None:
    async def send() -> None:
        job_setup.ran.append("never")

    job_setup.task(send)
    job_id = await job_setup.store(tenant_id=uuid4())
    await job_setup.runner().drain()
    assert ((await job_setup.job(job_id)).state, job_setup.ran) == (JobState.FAILED, [])


async def test_run_when_longer_than_the_lease_then_signs_of_life_keep_it(job_setup: JobSetup) -> None:
    async def send() -> None:
        job_setup.ran.append("begun")
        await asyncio.sleep(1.5)
        await note_progress(0.5)

    job_setup.task(send)
    reconciler = job_setup.reconciler()
    await job_setup.runner().start()
    await reconciler.start()
    job_id = await job_setup.store()
    await job_setup.until_state(job_id, JobState.DONE)
    assert job_setup.ran == ["begun"]


async def test_cancel_when_job_is_running_then_interrupted_at_next_sign_of_life(job_setup: JobSetup) -> None:
    ended: list[str] = []

    async def send() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("interrupted")
            raise

    job_setup.task(send)
    await job_setup.runner().start()
    job_id = await job_setup.store()
    job_setup.wakeups.wake_soon()
    await job_setup.until_state(job_id, JobState.RUNNING)
    assert await job_setup.job_store.cancel(job_id)
    async with asyncio.timeout(5):
        while not ended:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await job_setup.job(job_id)).state == JobState.CANCELLED


async def test_stop_when_job_runs_then_given_back_and_next_worker_runs_it(job_setup: JobSetup) -> None:
    begun = asyncio.Event()

    async def send() -> None:
        job_setup.ran.append("begun")
        begun.set()
        if len(job_setup.ran) == 1:
            await asyncio.sleep(30)

    job_setup.task(send, tries=1)
    runner = job_setup.runner()
    await runner.start()
    job_id = await job_setup.store()
    job_setup.wakeups.wake_soon()
    async with asyncio.timeout(10):
        await begun.wait()
    await runner.stop(grace=0.1)
    job = await job_setup.job(job_id)
    assert (job.state, job.attempts, job.worker) == (JobState.QUEUED, 0, None)
    assert await job_setup.runner().drain() == 1
    assert (await job_setup.job(job_id)).state == JobState.DONE


async def test_stop_when_job_ends_within_the_grace_then_it_is_done(job_setup: JobSetup) -> None:
    async def send() -> None:
        job_setup.ran.append("begun")
        await asyncio.sleep(0.3)

    job_setup.task(send)
    runner = job_setup.runner()
    await runner.start()
    job_id = await job_setup.store()
    job_setup.wakeups.wake_soon()
    await job_setup.until_state(job_id, JobState.RUNNING)
    await runner.stop(grace=5)
    assert (await job_setup.job(job_id)).state == JobState.DONE


async def test_start_when_a_tenant_is_bound_then_refused(job_setup: JobSetup) -> None:
    with bind(job_setup.tenants[0]), pytest.raises(RuntimeError, match="no tenant bound"):
        await job_setup.runner().start()
