"""Fair share: whose job is next, and which run as one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from host.contracts import Task
from host.execution_context import execution_context
from host.jobs.catalog import TaskCatalog
from host.jobs.models import Job, JobState
from host.jobs.outcomes import GiveUp, Postpone
from host.jobs.wakeups import MESSAGES
from tenants.context import current
from tests.jobs.conftest import JobSetup


async def _claimed(job_setup: JobSetup, count: int) -> list[Any]:
    """The `name` arguments of the next jobs, in the order they are claimed."""
    names = []
    for _ in range(count):
        job = await job_setup.job_store.claim("w")
        names.append(job.arguments.get("name") if job else None)
    return names


async def _store(job_setup: JobSetup, tenant: int | None, *names: str, **more: Any) -> None:
    for name in names:
        owner = None if tenant is None else UUID(int=tenant)
        await job_setup.store(tenant_id=owner, arguments={"name": name}, **more)


async def test_claim_when_one_tenant_has_many_then_others_get_their_turn(job_setup: JobSetup) -> None:
    await _store(job_setup, 1, "a1", "a2", "a3", "a4")
    await _store(job_setup, 2, "b1", "b2")
    await _store(job_setup, None, "n1", "n2")
    await _store(job_setup, 3, "c1")
    turns = await _claimed(job_setup, 10)
    assert turns == ["a1", "b1", "c1", "n1", "a2", "b2", "n2", "a3", "a4", None]


async def test_claim_when_a_newcomer_comes_to_a_long_queue_then_is_next_but_one(job_setup: JobSetup) -> None:
    await _store(job_setup, 1, *(f"a{number}" for number in range(50)))
    await _claimed(job_setup, 10)
    await _store(job_setup, 2, "reset")
    assert "reset" in await _claimed(job_setup, 2)


async def test_claim_when_priorities_differ_then_the_lower_goes_first_whoevers_turn_it_is(job_setup: JobSetup) -> None:
    await _store(job_setup, 1, "letter", "letter", priority=10)
    await _store(job_setup, 3, "reset", priority=-10)
    await _store(job_setup, 2, "plain")
    assert await _claimed(job_setup, 5) == ["reset", "plain", "letter", "letter", None]


async def test_run_when_jobs_that_can_wait_take_long_then_one_place_is_left_for_those_that_cannot(
    job_setup: JobSetup,
) -> None:
    ended = asyncio.Event()
    begun: list[str] = []

    async def send(name: str) -> None:
        begun.append(name)
        if name == "letter":
            await ended.wait()

    job_setup.task(send)
    await job_setup.runner(concurrency=3).start()
    await _store(job_setup, 1, *["letter"] * 10, priority=10)
    job_setup.wakeups.wake_soon(10)

    async def has_begun(*names: str) -> bool:
        return begun == list(names)

    await job_setup.until(lambda: has_begun("letter", "letter"))
    await _store(job_setup, 1, "reset")
    job_setup.wakeups.wake_soon()
    await job_setup.until(lambda: has_begun("letter", "letter", "reset"))
    ended.set()
    job_setup.wakeups.wake_soon(10)
    await job_setup.until(lambda: has_begun("letter", "letter", "reset", *["letter"] * 8))


async def test_claim_when_many_ask_at_once_then_each_gets_another_and_none_goes_away_empty(job_setup: JobSetup) -> None:
    for tenant in (1, 2, 3, None):
        await _store(job_setup, tenant, *(f"{tenant}-{number}" for number in range(10)))
    jobs = await asyncio.gather(*(job_setup.job_store.claim(f"w{number}") for number in range(40)))
    assert len({job.id for job in jobs if job}) == 40
    assert await job_setup.job_store.claim("w") is None


async def test_wake_when_the_time_has_come_then_queued_and_not_before(job_setup: JobSetup) -> None:
    later = await job_setup.store(run_at=datetime.now(UTC) + timedelta(minutes=5))
    assert (await job_setup.job(later)).state == JobState.SCHEDULED
    assert (
        await job_setup.job_store.wake(),
        await job_setup.job_store.claim("w"),
        await job_setup.job_store.due(),
    ) == (0, None, 0)
    job_setup.clock.ahead = timedelta(minutes=6)
    assert (await job_setup.job_store.wake(), await job_setup.job_store.due()) == (1, 1)
    assert await job_setup.job_store.claim("w")


async def test_unpark_when_the_time_has_not_come_then_waits_for_it(job_setup: JobSetup) -> None:
    later = await job_setup.store(run_at=datetime.now(UTC) + timedelta(minutes=5))
    assert await job_setup.job_store.park_waiting("mail", UUID(int=1), "off") == 1
    assert await job_setup.job_store.unpark("mail", UUID(int=1)) == 1
    assert (await job_setup.job(later)).state == JobState.SCHEDULED


# -- together --------------------------------------------------------------------------------------------


class Post:
    """A task that takes several jobs, and does with each what its argument says."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    async def __call__(self, items: Sequence[dict[str, Any]]) -> Sequence[Exception | None]:
        assert execution_context().origin.actor.kind == "job"
        self.calls.append([f"{current().int}{item['name']}" for item in items])
        wanted = {
            "give up": GiveUp("no such address"),
            "postpone": Postpone(timedelta(minutes=1)),
            "break": ValueError("x"),
        }
        return [wanted.get(item["name"]) for item in items]


async def test_batch_when_a_tenant_has_several_then_one_call_and_each_its_own_outcome(job_setup: JobSetup) -> None:
    post = Post()
    job_setup.task(post, batch_size=10, tries=2, backoff=60.0)
    job_setup.task(post, "mail.other", batch_size=10)
    await _store(job_setup, 1, "fine", "give up", "postpone", "break", "fine")
    await _store(job_setup, 2, "fine")
    await _store(job_setup, 1, "late", run_at=datetime.now(UTC) + timedelta(hours=1))
    await _store(job_setup, 1, "bulk", priority=5)
    await _store(job_setup, 1, "other", task="mail.other", priority=9)
    assert await job_setup.runner().drain() == 8
    assert post.calls == [
        ["1fine", "1give up", "1postpone", "1break", "1fine"], ["2fine"], ["1bulk"], ["1other"],
    ]  # fmt: skip
    rows = {(job.arguments["name"], job.state, job.attempts, job.error) for job in await Job.all()}
    assert rows == {
        ("fine", JobState.DONE, 1, ""),
        ("bulk", JobState.DONE, 1, ""),
        ("other", JobState.DONE, 1, ""),
        ("late", JobState.SCHEDULED, 0, ""),
        ("give up", JobState.FAILED, 1, "no such address"),
        ("postpone", JobState.SCHEDULED, 0, "put off by 0:01:00"),
        ("break", JobState.SCHEDULED, 1, "ValueError: x"),
    }


async def test_batch_when_more_are_due_than_it_takes_then_in_slices_with_turns_between(job_setup: JobSetup) -> None:
    post = Post()
    job_setup.task(post, batch_size=3)
    await _store(job_setup, 1, *("fine" for _ in range(5)))
    await _store(job_setup, 2, "fine")
    await job_setup.runner().drain()
    assert [len(call) for call in post.calls] == [3, 1, 2]


@pytest.mark.parametrize("answer", [None, [], [None] * 3, "ab"])
async def test_batch_when_the_outcomes_do_not_fit_then_all_are_tried_again(job_setup: JobSetup, answer: Any) -> None:
    async def forgetful(items: Sequence[dict[str, Any]]) -> Any:
        return answer

    job_setup.task(forgetful, batch_size=2, backoff=60.0)
    await _store(job_setup, 1, "one", "two")
    await job_setup.runner().drain()
    assert {(job.state, job.attempts) for job in await Job.all()} == {(JobState.SCHEDULED, 1)}


async def test_batch_when_one_is_cancelled_meanwhile_then_the_others_still_count(job_setup: JobSetup) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(items: Sequence[dict[str, Any]]) -> Sequence[None]:
        begun.set()
        await go_on.wait()
        return [None] * len(items)

    job_setup.task(slow, batch_size=2)
    await _store(job_setup, 1, "off", "on")
    runner = job_setup.runner()
    await runner.start()
    await job_setup.wakeups.wake()
    await begun.wait()
    off = (await Job.all().order_by("id"))[0]
    await job_setup.job_store.cancel(off.id)
    await asyncio.sleep(0.5)  # longer than a sign of life takes
    go_on.set()

    async def over() -> bool:
        return {job.state for job in await Job.all()} == {JobState.DONE, JobState.CANCELLED}

    await job_setup.until(over)


def test_catalog_when_batch_size_makes_no_sense_then_refused() -> None:
    async def run() -> None: ...

    with pytest.raises(ValueError, match="batch_size"):
        TaskCatalog({"mail.send": Task("send", run, "", batch_size=0)})


# -- the wake-up queue --------------------------------------------------------------------------------------------


async def test_answer_when_one_message_comes_then_runs_all_that_is_due(job_setup: JobSetup) -> None:
    async def send(name: str) -> None:
        job_setup.ran.append(name)

    job_setup.task(send)
    await _store(job_setup, 1, *(str(number) for number in range(30)))
    await job_setup.runner().answer()
    assert len(job_setup.ran) == 30


async def test_wakeup_when_thousands_are_due_then_as_many_messages_as_wake_everybody(job_setup: JobSetup) -> None:
    await job_setup.wakeups.wake(5000)
    assert await job_setup.wakeups.waiting() == MESSAGES
