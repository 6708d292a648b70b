from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from host.contracts import Actor, Origin
from host.execution_context import actor, origin, plugin
from host.jobs.executor import report_progress
from host.jobs.models import Job, JobState
from host.jobs.outcomes import GiveUp, Postpone
from tenants.context import bind, current, current_or_none

Yard = Any


async def test_bell_when_rung_then_job_runs_with_tenant_origin_plugin_and_typed_arguments(yard: Yard) -> None:
    user, thing, seen = uuid4(), uuid4(), []

    async def send(thing: UUID, at: datetime, count: int = 1) -> None:
        seen.append((current(), actor().kind, actor().user_id, origin().request_id, plugin(), thing, at, count))

    yard.task(send)
    await yard.runner().start()
    at = datetime(2026, 1, 2, tzinfo=UTC)
    started_by = Origin("req-1", Actor("user", id=user, user_id=user))
    job_id = await yard.store(arguments={"thing": thing, "at": at}, origin=started_by)
    yard.wakeups.ring_soon()
    await yard.until_state(job_id, JobState.DONE)
    assert seen == [(yard.tenants[0], "job", user, "req-1", "mail", thing, at, 1)]
    assert current_or_none() is None


async def test_jobs_when_several_runners_work_then_each_runs_once(yard: Yard) -> None:
    ran: list[int] = []

    async def send(number: int) -> None:
        await asyncio.sleep(0.005)
        ran.append(number)

    yard.task(send)
    for _ in range(3):
        await yard.runner(concurrency=4).start()
    for number in range(100):
        await yard.store(arguments={"number": number})
    yard.wakeups.ring_soon(150)  # more often than there are jobs: nobody minds

    async def all_done() -> bool:
        return await Job.filter(state=JobState.DONE).count() == 100

    await yard.until(all_done)
    assert sorted(ran) == list(range(100))


async def test_run_when_task_fails_then_tried_again_with_growing_waits_until_kept_as_failed(yard: Yard) -> None:
    async def send() -> None:
        raise ConnectionError("the mail server is away")

    yard.task(send, tries=3, backoff=10.0)
    job_id, runner, waits = await yard.store(), yard.runner(), []
    for _ in range(3):
        before = yard.clock()
        assert await runner.run_next()
        assert not await runner.run_next(), "not before its time"
        job = await yard.job(job_id)
        waits.append((job.run_at - before).total_seconds())
        yard.clock.ahead += timedelta(minutes=1)
        await yard.job_store.wake()
    assert 7.5 <= waits[0] <= 12.6
    assert 15 <= waits[1] <= 25.1
    assert (job.state, job.attempts) == (JobState.FAILED, 3)
    assert job.error == "ConnectionError: the mail server is away"
    assert not await runner.run_next()


async def test_run_when_second_try_succeeds_then_done_without_error(yard: Yard) -> None:
    async def send() -> None:
        yard.ran.append("try")
        if len(yard.ran) < 2:
            raise ValueError("once")

    yard.task(send)
    job_id = await yard.store()
    assert await yard.runner().drain() == 2
    job = await yard.job(job_id)
    assert (job.state, job.error, job.progress) == (JobState.DONE, "", 1.0)


async def test_run_when_task_gives_up_then_failed_at_once_with_its_reason(yard: Yard) -> None:
    async def send() -> None:
        raise GiveUp("the address does not exist")

    yard.task(send, tries=5)
    job_id = await yard.store()
    assert await yard.runner().drain() == 1
    job = await yard.job(job_id)
    assert (job.state, job.attempts, job.error) == (JobState.FAILED, 1, "the address does not exist")


async def test_run_when_task_postpones_then_later_and_no_try_is_lost(yard: Yard) -> None:
    async def send() -> None:
        raise Postpone(timedelta(minutes=5))

    yard.task(send, tries=1)
    job_id = await yard.store()
    for _ in range(3):
        assert await yard.runner().drain() == 1
        yard.clock.ahead += timedelta(minutes=6)
    assert ((await yard.job(job_id)).state, (await yard.job(job_id)).attempts) == (JobState.SCHEDULED, 0)


async def test_run_when_task_takes_too_long_then_cancelled_and_tried_again(yard: Yard) -> None:
    async def send() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            yard.ran.append("cancelled")
            raise

    yard.task(send, timeout=0.1, tries=2)
    job_id = await yard.store()
    assert await yard.runner().drain() == 2
    job = await yard.job(job_id)
    assert (job.state, job.error, yard.ran) == (JobState.FAILED, "took longer than 0.1 seconds", ["cancelled"] * 2)


async def test_run_when_task_does_not_heed_cancelling_then_worker_goes_on(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.jobs.runner._HEED_CANCELLING", 0.05)
    release = asyncio.Event()

    async def send() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    yard.task(send, timeout=0.05, tries=1)
    job_id = await yard.store()
    async with asyncio.timeout(3):
        assert await yard.runner().drain() == 1
    assert (await yard.job(job_id)).state == JobState.FAILED
    release.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize("escape", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_run_when_task_tries_to_leave_then_it_is_a_failure_and_worker_lives(
    yard: Yard, escape: BaseException
) -> None:
    async def send() -> None:
        raise escape

    yard.task(send, tries=1)
    job_id = await yard.store()
    assert await yard.runner().drain() == 1
    job = await yard.job(job_id)
    assert job.state == JobState.FAILED
    assert type(escape).__name__ in job.error


@pytest.mark.parametrize("arguments", [{}, {"number": "word"}, {"number": 1, "stranger": 2}])
async def test_run_when_arguments_do_not_fit_then_failed_at_once(yard: Yard, arguments: dict[str, Any]) -> None:
    async def send(number: int) -> None:
        yard.ran.append("never")

    yard.task(send)
    job_id = await yard.store(arguments=arguments)
    assert await yard.runner().drain() == 1
    job = await yard.job(job_id)
    assert (job.state, yard.ran) == (JobState.FAILED, [])
    assert "do not fit" in job.error or "does not fit" in job.error


async def test_run_when_plugin_is_off_then_parked_with_the_reason_and_runs_when_on(yard: Yard) -> None:
    async def send() -> None:
        yard.ran.append("sent")

    yard.task(send)
    job_id = await yard.store()
    yard.off["mail"] = "mail is switched off for this organisation"
    await yard.runner().drain()
    job = await yard.job(job_id)
    assert (job.state, job.error, job.attempts) == (JobState.PARKED, yard.off["mail"], 0)
    del yard.off["mail"]
    assert await yard.job_store.unpark("mail", yard.tenants[0]) == 1
    await yard.runner().drain()
    assert ((await yard.job(job_id)).state, yard.ran) == (JobState.DONE, ["sent"])


async def test_run_when_task_is_unknown_then_parked_not_lost(yard: Yard) -> None:
    job_id = await yard.store("gone.task")
    await yard.runner().drain()
    job = await yard.job(job_id)
    assert job.state == JobState.PARKED
    assert "gone.task" in job.error


async def test_run_when_tenant_is_gone_then_failed(yard: Yard) -> None:
    async def send() -> None:
        yard.ran.append("never")

    yard.task(send)
    job_id = await yard.store(tenant_id=uuid4())
    await yard.runner().drain()
    assert ((await yard.job(job_id)).state, yard.ran) == (JobState.FAILED, [])


async def test_run_when_longer_than_the_lease_then_signs_of_life_keep_it(yard: Yard) -> None:
    async def send() -> None:
        yard.ran.append("begun")
        await asyncio.sleep(1.5)
        await report_progress(0.5)

    yard.task(send)
    reconciler = yard.reconciler()
    await yard.runner().start()
    await reconciler.start()
    job_id = await yard.store()
    await yard.until_state(job_id, JobState.DONE)
    assert yard.ran == ["begun"]


async def test_cancel_when_job_is_running_then_interrupted_at_next_sign_of_life(yard: Yard) -> None:
    ended: list[str] = []

    async def send() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("interrupted")
            raise

    yard.task(send)
    await yard.runner().start()
    job_id = await yard.store()
    yard.wakeups.ring_soon()
    await yard.until_state(job_id, JobState.RUNNING)
    assert await yard.job_store.cancel(job_id)
    async with asyncio.timeout(5):
        while not ended:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await yard.job(job_id)).state == JobState.CANCELLED


async def test_stop_when_job_runs_then_given_back_and_next_worker_runs_it(yard: Yard) -> None:
    begun = asyncio.Event()

    async def send() -> None:
        yard.ran.append("begun")
        begun.set()
        if len(yard.ran) == 1:
            await asyncio.sleep(30)

    yard.task(send, tries=1)
    runner = yard.runner()
    await runner.start()
    job_id = await yard.store()
    yard.wakeups.ring_soon()
    async with asyncio.timeout(10):
        await begun.wait()
    await runner.stop(grace=0.1)
    job = await yard.job(job_id)
    assert (job.state, job.attempts, job.worker) == (JobState.QUEUED, 0, None)
    assert await yard.runner().drain() == 1
    assert (await yard.job(job_id)).state == JobState.DONE


async def test_stop_when_job_ends_within_the_grace_then_it_is_done(yard: Yard) -> None:
    async def send() -> None:
        yard.ran.append("begun")
        await asyncio.sleep(0.3)

    yard.task(send)
    runner = yard.runner()
    await runner.start()
    job_id = await yard.store()
    yard.wakeups.ring_soon()
    await yard.until_state(job_id, JobState.RUNNING)
    await runner.stop(grace=5)
    assert (await yard.job(job_id)).state == JobState.DONE


async def test_start_when_a_tenant_is_bound_then_refused(yard: Yard) -> None:
    with bind(yard.tenants[0]), pytest.raises(RuntimeError, match="no tenant bound"):
        await yard.runner().start()
