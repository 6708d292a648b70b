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

Yard = Any


async def test_claim_when_many_workers_ask_at_once_then_each_job_goes_to_one(yard: Yard) -> None:
    for _ in range(40):
        await yard.store()
    claims = await asyncio.gather(*(yard.job_store.claim(f"worker{number % 4}") for number in range(60)))
    claimed = [job.id for job in claims if job]
    assert len(claimed) == len(set(claimed)) == 40


async def test_claim_when_several_are_due_then_urgent_and_older_first(yard: Yard) -> None:
    now = datetime.now(UTC)
    late = await yard.store(run_at=now - timedelta(seconds=1))
    early = await yard.store(run_at=now - timedelta(seconds=9))
    urgent = await yard.store(run_at=now, priority=-1)
    await yard.store(run_at=now + timedelta(hours=1), priority=-5)
    got = [await yard.job_store.claim("w") for _ in range(4)]
    assert [job.id if job else None for job in got] == [urgent, early, late, None]


async def test_claim_when_taken_then_record_says_by_whom_and_until_when(yard: Yard) -> None:
    arguments = {"to": "ä", "n": [1, {"a": None}], "id": uuid4(), "at": datetime(2026, 1, 2, tzinfo=UTC)}
    await yard.store(arguments=arguments)
    job = await yard.job_store.claim("me")
    assert (job.state, job.worker, job.attempts) == (JobState.RUNNING, "me", 1)
    assert job.arguments == {
        "to": "ä",
        "n": [1, {"a": None}],
        "id": str(arguments["id"]),
        "at": "2026-01-02T00:00:00+00:00",
    }
    assert job.tenant_id == yard.tenants[0]
    assert timedelta(0) < job.lease_until - datetime.now(UTC) <= yard.job_store.lease
    assert await yard.job(job.id) == job


async def test_store_when_transaction_rolls_back_then_no_job(yard: Yard, database: Database) -> None:
    with pytest.raises(RuntimeError, match="boom"):
        async with database.transaction():
            await yard.store()
            raise RuntimeError("boom")
    assert await yard.job_store.claim("w") is None


async def test_store_when_key_is_on_record_then_dropped_and_others_kept(yard: Yard, database: Database) -> None:
    drafts = [JobDraft("mail.send", yard.tenants[0], key="once") for _ in range(3)]
    async with database.transaction():
        await yard.job_store.store([drafts[0], JobDraft("mail.send", yard.tenants[0])])
        await yard.job_store.store(drafts[1:])
    await yard.job_store.store(
        [JobDraft("mail.send", yard.tenants[1], key="once"), JobDraft("mail.other", yard.tenants[0], key="once")]
    )
    assert await Job.all().count() == 4


async def test_store_when_a_tenant_is_bound_then_works_as_well(yard: Yard) -> None:
    with bind(yard.tenants[0]):
        job_id = await yard.store()
    assert (await yard.job(job_id)).state == JobState.QUEUED


async def test_finish_when_job_was_taken_by_another_then_does_not_count(yard: Yard) -> None:
    job_id = await yard.store()
    first = await yard.job_store.claim("first")
    yard.clock.ahead += timedelta(seconds=1)
    [abandoned] = await yard.job_store.abandoned()
    assert await yard.job_store.retry_later(abandoned, "silent", timedelta(0))
    second = await yard.job_store.claim("second")
    assert second.id == first.id == job_id
    assert not await yard.job_store.finish(first)
    assert not await yard.job_store.fail(first, "late")
    assert (await yard.job(job_id)).worker == "second"
    assert await yard.job_store.finish(second)
    assert not await yard.job_store.finish(second)


async def test_beat_when_some_are_lost_then_names_them_and_prolongs_the_rest(yard: Yard) -> None:
    for _ in range(3):
        await yard.store()
    jobs = [await yard.job_store.claim("me") for _ in range(3)]
    assert await yard.job_store.cancel(jobs[1].id)
    before = (await yard.job(jobs[0].id)).lease_until
    yard.clock.ahead += timedelta(seconds=0.3)
    assert await yard.job_store.beat("me", [job.id for job in jobs]) == {jobs[1].id}
    assert (await yard.job(jobs[0].id)).lease_until > before
    assert await yard.job_store.beat("me", []) == set()


async def test_fail_when_reason_is_long_and_odd_then_kept_as_far_as_it_goes(yard: Yard) -> None:
    job_id = await yard.store()
    await yard.job_store.fail(await yard.job_store.claim("w"), "bad\x00byte " + "x" * 10_000)
    job = await yard.job(job_id)
    assert job.state == JobState.FAILED
    assert job.error.startswith("badbyte xxx")
    assert len(job.error) == 4000
    assert job.finished_at is not None


async def test_park_waiting_when_plugin_goes_off_then_only_its_jobs_in_that_tenant_wait(yard: Yard) -> None:
    here, there = yard.tenants[:2]
    mine, other, audit = await yard.store(), await yard.store(tenant_id=there), await yard.store("audit.keep")
    assert await yard.job_store.park_waiting("mail", here, "switched off") == 1
    assert {(await yard.job(i)).state for i in (other, audit)} == {JobState.QUEUED}
    assert (await yard.job(mine)).error == "switched off"
    assert await yard.job_store.parked() == [(here, "mail", "mail.send")]
    assert await yard.job_store.unpark("mail", there) == 0
    assert await yard.job_store.unpark("mail", here) == 1
    assert (await yard.job(mine)).state == JobState.QUEUED


async def test_park_when_running_job_may_not_run_then_it_costs_no_try(yard: Yard) -> None:
    job_id = await yard.store()
    assert await yard.job_store.park(await yard.job_store.claim("w"), "off")
    job = await yard.job(job_id)
    assert (job.state, job.attempts, job.error, job.worker) == (JobState.PARKED, 0, "off", None)


async def test_cancel_and_retry_when_job_is_in_that_state_then_done_else_refused(yard: Yard) -> None:
    job_id = await yard.store()
    assert not await yard.job_store.retry(job_id)
    assert await yard.job_store.cancel(job_id)
    assert not await yard.job_store.cancel(job_id)
    assert await yard.job_store.claim("w") is None
    assert await yard.job_store.retry(job_id)
    again = await yard.job_store.claim("w")
    assert again.attempts == 1
    await yard.job_store.finish(again)
    assert not await yard.job_store.retry(job_id)
    assert not await yard.job_store.cancel(uuid4())


async def test_clean_when_time_is_up_then_final_ones_go_and_open_ones_stay(yard: Yard) -> None:
    open_job = await yard.store()
    await yard.store(run_at=datetime(2026, 1, 1, tzinfo=UTC))
    await yard.store(run_at=datetime(2026, 1, 1, tzinfo=UTC), key="schedule:1")
    for _ in range(2):
        await yard.job_store.finish(await yard.job_store.claim("w"))
    now = yard.clock()
    assert await yard.job_store.clean(now - timedelta(days=1), now - timedelta(days=1)) == 0
    later = now + timedelta(days=1)
    assert await yard.job_store.clean(later, now - timedelta(days=1)) == 1, "the key of a slot that is not over is kept"
    assert await yard.job_store.clean(later, later) == 1
    assert [job.id for job in await Job.all()] == [open_job]


async def test_find_counts_and_purge_when_asked_then_by_tenant_state_and_plugin(yard: Yard) -> None:
    await yard.store()
    await yard.store("audit.keep", tenant_id=yard.tenants[1])
    assert (await yard.job_store.counts())["queued"] == 2
    assert len(await yard.job_store.find(tenant_id=yard.tenants[0])) == 1
    assert [job.task for job in await yard.job_store.find(plugin="audit", state=JobState.QUEUED)] == ["audit.keep"]
    assert await yard.job_store.purge(yard.tenants[0]) == 1
    assert await yard.job_store.due() == 1


async def test_origin_when_carried_then_job_acts_in_the_persons_name(yard: Yard) -> None:
    user = uuid4()
    origin = Origin("req-1", Actor("user", id=user, label="a@b.c", user_id=user), "10.0.0.1", "curl")
    job = await yard.job(await yard.store(origin=origin))
    assert origin_of(job) == Origin(
        "req-1", Actor("job", id=job.id, label="mail.send", user_id=user), "10.0.0.1", "curl"
    )


def test_ledger_when_made_then_needs_no_database() -> None:
    assert JobStore().lease == timedelta(seconds=60)
