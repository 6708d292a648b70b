from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from host.contracts import Actor, Origin
from host.data.database import Database
from host.jobs.catalog import JobDraft
from host.jobs.job_store import JobStore, origin_of
from host.jobs.models import Job, JobState
from tenants.context import bind

JobSetup = Any


async def test_claim_when_many_workers_ask_at_once_then_each_job_goes_to_one(job_setup: JobSetup) -> None:
    for _ in range(40):
        await job_setup.store()
    claims = await asyncio.gather(*(job_setup.job_store.claim(f"worker{number % 4}") for number in range(60)))
    claimed = [job.id for job in claims if job]
    assert len(claimed) == len(set(claimed)) == 40


async def test_claim_when_several_are_due_then_urgent_and_older_first(job_setup: JobSetup) -> None:
    now = datetime.now(UTC)
    late = await job_setup.store(run_at=now - timedelta(seconds=1))
    early = await job_setup.store(run_at=now - timedelta(seconds=9))
    urgent = await job_setup.store(run_at=now, priority=-1)
    await job_setup.store(run_at=now + timedelta(hours=1), priority=-5)
    got = [await job_setup.job_store.claim("w") for _ in range(4)]
    assert [job.id if job else None for job in got] == [urgent, early, late, None]


async def test_claim_when_taken_then_record_says_by_whom_and_until_when(job_setup: JobSetup) -> None:
    arguments = {"to": "ä", "n": [1, {"a": None}], "id": uuid4(), "at": datetime(2026, 1, 2, tzinfo=UTC)}
    await job_setup.store(arguments=arguments)
    job = await job_setup.job_store.claim("me")
    assert (job.state, job.worker, job.attempts) == (JobState.RUNNING, "me", 1)
    assert job.arguments == {
        "to": "ä",
        "n": [1, {"a": None}],
        "id": str(arguments["id"]),
        "at": "2026-01-02T00:00:00+00:00",
    }
    assert job.tenant_id == job_setup.tenants[0]
    assert timedelta(0) < job.lease_until - datetime.now(UTC) <= job_setup.job_store.lease
    assert await job_setup.job(job.id) == job


async def test_store_when_transaction_rolls_back_then_no_job(job_setup: JobSetup, database: Database) -> None:
    with pytest.raises(RuntimeError, match="boom"):
        async with database.transaction():
            await job_setup.store()
            raise RuntimeError("boom")
    assert await job_setup.job_store.claim("w") is None


async def test_store_when_key_is_on_record_then_dropped_and_others_kept(
    job_setup: JobSetup, database: Database
) -> None:
    drafts = [JobDraft("mail.send", job_setup.tenants[0], key="once") for _ in range(3)]
    async with database.transaction():
        await job_setup.job_store.store([drafts[0], JobDraft("mail.send", job_setup.tenants[0])])
        await job_setup.job_store.store(drafts[1:])
    await job_setup.job_store.store(
        [
            JobDraft("mail.send", job_setup.tenants[1], key="once"),
            JobDraft("mail.other", job_setup.tenants[0], key="once"),
        ]
    )
    assert await Job.all().count() == 4


async def test_store_when_a_tenant_is_bound_then_works_as_well(job_setup: JobSetup) -> None:
    with bind(job_setup.tenants[0]):
        job_id = await job_setup.store()
    assert (await job_setup.job(job_id)).state == JobState.QUEUED


async def test_finish_when_job_was_taken_by_another_then_does_not_count(job_setup: JobSetup) -> None:
    job_id = await job_setup.store()
    first = await job_setup.job_store.claim("first")
    job_setup.clock.ahead += timedelta(seconds=1)
    [abandoned] = await job_setup.job_store.abandoned()
    assert await job_setup.job_store.retry_later(abandoned, "silent", timedelta(0))
    second = await job_setup.job_store.claim("second")
    assert second.id == first.id == job_id
    assert not await job_setup.job_store.finish(first)
    assert not await job_setup.job_store.fail(first, "late")
    assert (await job_setup.job(job_id)).worker == "second"
    assert await job_setup.job_store.finish(second)
    assert not await job_setup.job_store.finish(second)


async def test_beat_when_some_are_lost_then_names_them_and_prolongs_the_rest(job_setup: JobSetup) -> None:
    for _ in range(3):
        await job_setup.store()
    jobs = [await job_setup.job_store.claim("me") for _ in range(3)]
    assert await job_setup.job_store.cancel(jobs[1].id)
    before = (await job_setup.job(jobs[0].id)).lease_until
    job_setup.clock.ahead += timedelta(seconds=0.3)
    assert await job_setup.job_store.beat("me", [job.id for job in jobs]) == {jobs[1].id}
    assert (await job_setup.job(jobs[0].id)).lease_until > before
    assert await job_setup.job_store.beat("me", []) == set()


async def test_fail_when_reason_is_long_and_odd_then_kept_as_far_as_it_goes(job_setup: JobSetup) -> None:
    job_id = await job_setup.store()
    await job_setup.job_store.fail(await job_setup.job_store.claim("w"), "bad\x00byte " + "x" * 10_000)
    job = await job_setup.job(job_id)
    assert job.state == JobState.FAILED
    assert job.error.startswith("badbyte xxx")
    assert len(job.error) == 4000
    assert job.finished_at is not None


async def test_park_waiting_when_plugin_goes_off_then_only_its_jobs_in_that_tenant_wait(job_setup: JobSetup) -> None:
    here, there = job_setup.tenants[:2]
    mine, other, audit = (
        await job_setup.store(),
        await job_setup.store(tenant_id=there),
        await job_setup.store("audit.keep"),
    )
    assert await job_setup.job_store.park_waiting("mail", here, "switched off") == 1
    assert {(await job_setup.job(i)).state for i in (other, audit)} == {JobState.QUEUED}
    assert (await job_setup.job(mine)).error == "switched off"
    assert await job_setup.job_store.parked() == [(here, "mail", "mail.send")]
    assert await job_setup.job_store.unpark("mail", there) == 0
    assert await job_setup.job_store.unpark("mail", here) == 1
    assert (await job_setup.job(mine)).state == JobState.QUEUED


async def test_park_when_running_job_may_not_run_then_it_costs_no_try(job_setup: JobSetup) -> None:
    job_id = await job_setup.store()
    assert await job_setup.job_store.park(await job_setup.job_store.claim("w"), "off")
    job = await job_setup.job(job_id)
    assert (job.state, job.attempts, job.error, job.worker) == (JobState.PARKED, 0, "off", None)


async def test_cancel_and_retry_when_job_is_in_that_state_then_done_else_refused(job_setup: JobSetup) -> None:
    job_id = await job_setup.store()
    assert not await job_setup.job_store.retry(job_id)
    assert await job_setup.job_store.cancel(job_id)
    assert not await job_setup.job_store.cancel(job_id)
    assert await job_setup.job_store.claim("w") is None
    assert await job_setup.job_store.retry(job_id)
    again = await job_setup.job_store.claim("w")
    assert again.attempts == 1
    await job_setup.job_store.finish(again)
    assert not await job_setup.job_store.retry(job_id)
    assert not await job_setup.job_store.cancel(uuid4())


async def test_clean_when_time_is_up_then_final_ones_go_and_open_ones_stay(job_setup: JobSetup) -> None:
    open_job = await job_setup.store()
    await job_setup.store(run_at=datetime(2026, 1, 1, tzinfo=UTC))
    await job_setup.store(run_at=datetime(2026, 1, 1, tzinfo=UTC), key="schedule:1")
    for _ in range(2):
        await job_setup.job_store.finish(await job_setup.job_store.claim("w"))
    now = job_setup.clock()
    assert await job_setup.job_store.clean(now - timedelta(days=1), now - timedelta(days=1)) == 0
    later = now + timedelta(days=1)
    assert await job_setup.job_store.clean(later, now - timedelta(days=1)) == 1, (
        "the key of a slot that is not over is kept"
    )
    assert await job_setup.job_store.clean(later, later) == 1
    assert [job.id for job in await Job.all()] == [open_job]


async def test_find_counts_and_purge_when_asked_then_by_tenant_state_and_plugin(job_setup: JobSetup) -> None:
    await job_setup.store()
    await job_setup.store("audit.keep", tenant_id=job_setup.tenants[1])
    assert (await job_setup.job_store.counts())["queued"] == 2
    assert len(await job_setup.job_store.find(tenant_id=job_setup.tenants[0])) == 1
    assert [job.task for job in await job_setup.job_store.find(plugin="audit", state=JobState.QUEUED)] == ["audit.keep"]
    assert await job_setup.job_store.purge(job_setup.tenants[0]) == 1
    assert await job_setup.job_store.due() == 1


async def test_origin_when_carried_then_job_acts_in_the_persons_name(job_setup: JobSetup) -> None:
    user = uuid4()
    origin = Origin("req-1", Actor("user", id=user, label="a@b.c", user_id=user), "10.0.0.1", "curl")
    job = await job_setup.job(await job_setup.store(origin=origin))
    assert origin_of(job) == Origin(
        "req-1", Actor("job", id=job.id, label="mail.send", user_id=user), "10.0.0.1", "curl"
    )


def test_job_store_when_made_then_needs_no_database() -> None:
    assert JobStore().lease == timedelta(seconds=60)
