"""Turns: whose job is next, and which run together."""

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
from tests.jobs.conftest import Yard


async def _claimed(yard: Yard, count: int) -> list[Any]:
    """The `name` arguments of the next jobs, in the order they are claimed."""
    names = []
    for _ in range(count):
        job = await yard.job_store.claim("w")
        names.append(job.arguments.get("name") if job else None)
    return names


async def _store(yard: Yard, tenant: int | None, *names: str, **more: Any) -> None:
    for name in names:
        owner = None if tenant is None else UUID(int=tenant)
        await yard.store(tenant_id=owner, arguments={"name": name}, **more)


async def test_claim_when_one_tenant_has_many_then_others_get_their_turn(yard: Yard) -> None:
    await _store(yard, 1, "a1", "a2", "a3", "a4")
    await _store(yard, 2, "b1", "b2")
    await _store(yard, None, "n1", "n2")
    await _store(yard, 3, "c1")
    turns = await _claimed(yard, 10)
    assert turns == ["a1", "b1", "c1", "n1", "a2", "b2", "n2", "a3", "a4", None]


async def test_claim_when_a_newcomer_comes_to_a_long_queue_then_is_next_but_one(yard: Yard) -> None:
    await _store(yard, 1, *(f"a{number}" for number in range(50)))
    await _claimed(yard, 10)
    await _store(yard, 2, "reset")
    assert "reset" in await _claimed(yard, 2)


async def test_claim_when_priorities_differ_then_the_lower_goes_first_whoevers_turn_it_is(yard: Yard) -> None:
    await _store(yard, 1, "letter", "letter", priority=10)
    await _store(yard, 3, "reset", priority=-10)
    await _store(yard, 2, "plain")
    assert await _claimed(yard, 5) == ["reset", "plain", "letter", "letter", None]


async def test_run_when_jobs_that_can_wait_take_long_then_one_place_is_left_for_those_that_cannot(yard: Yard) -> None:
    ended = asyncio.Event()
    begun: list[str] = []

    async def send(name: str) -> None:
        begun.append(name)
        if name == "letter":
            await ended.wait()

    yard.task(send)
    await yard.runner(concurrency=3).start()
    await _store(yard, 1, *["letter"] * 10, priority=10)
    yard.wakeups.ring_soon(10)

    async def has_begun(*names: str) -> bool:
        return begun == list(names)

    await yard.until(lambda: has_begun("letter", "letter"))
    await _store(yard, 1, "reset")
    yard.wakeups.ring_soon()
    await yard.until(lambda: has_begun("letter", "letter", "reset"))
    ended.set()
    yard.wakeups.ring_soon(10)
    await yard.until(lambda: has_begun("letter", "letter", "reset", *["letter"] * 8))


async def test_claim_when_many_ask_at_once_then_each_gets_another_and_none_goes_away_empty(yard: Yard) -> None:
    for tenant in (1, 2, 3, None):
        await _store(yard, tenant, *(f"{tenant}-{number}" for number in range(10)))
    jobs = await asyncio.gather(*(yard.job_store.claim(f"w{number}") for number in range(40)))
    assert len({job.id for job in jobs if job}) == 40
    assert await yard.job_store.claim("w") is None


async def test_wake_when_the_time_has_come_then_queued_and_not_before(yard: Yard) -> None:
    later = await yard.store(run_at=datetime.now(UTC) + timedelta(minutes=5))
    assert (await yard.job(later)).state == JobState.SCHEDULED
    assert (await yard.job_store.wake(), await yard.job_store.claim("w"), await yard.job_store.due()) == (0, None, 0)
    yard.clock.ahead = timedelta(minutes=6)
    assert (await yard.job_store.wake(), await yard.job_store.due()) == (1, 1)
    assert await yard.job_store.claim("w")


async def test_unpark_when_the_time_has_not_come_then_waits_for_it(yard: Yard) -> None:
    later = await yard.store(run_at=datetime.now(UTC) + timedelta(minutes=5))
    assert await yard.job_store.park_waiting("mail", UUID(int=1), "off") == 1
    assert await yard.job_store.unpark("mail", UUID(int=1)) == 1
    assert (await yard.job(later)).state == JobState.SCHEDULED


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


async def test_together_when_a_tenant_has_several_then_one_call_and_each_its_own_outcome(yard: Yard) -> None:
    post = Post()
    yard.task(post, batch_size=10, tries=2, backoff=60.0)
    yard.task(post, "mail.other", batch_size=10)
    await _store(yard, 1, "fine", "give up", "postpone", "break", "fine")
    await _store(yard, 2, "fine")
    await _store(yard, 1, "late", run_at=datetime.now(UTC) + timedelta(hours=1))
    await _store(yard, 1, "bulk", priority=5)
    await _store(yard, 1, "other", task="mail.other", priority=9)
    assert await yard.runner().drain() == 8
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


async def test_together_when_more_are_due_than_it_takes_then_in_slices_with_turns_between(yard: Yard) -> None:
    post = Post()
    yard.task(post, batch_size=3)
    await _store(yard, 1, *("fine" for _ in range(5)))
    await _store(yard, 2, "fine")
    await yard.runner().drain()
    assert [len(call) for call in post.calls] == [3, 1, 2]


@pytest.mark.parametrize("answer", [None, [], [None] * 3, "ab"])
async def test_together_when_the_outcomes_do_not_fit_then_all_are_tried_again(yard: Yard, answer: Any) -> None:
    async def forgetful(items: Sequence[dict[str, Any]]) -> Any:
        return answer

    yard.task(forgetful, batch_size=2, backoff=60.0)
    await _store(yard, 1, "one", "two")
    await yard.runner().drain()
    assert {(job.state, job.attempts) for job in await Job.all()} == {(JobState.SCHEDULED, 1)}


async def test_together_when_one_is_cancelled_meanwhile_then_the_others_still_count(yard: Yard) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(items: Sequence[dict[str, Any]]) -> Sequence[None]:
        begun.set()
        await go_on.wait()
        return [None] * len(items)

    yard.task(slow, batch_size=2)
    await _store(yard, 1, "off", "on")
    runner = yard.runner()
    await runner.start()
    await yard.wakeups.ring()
    await begun.wait()
    off = (await Job.all().order_by("id"))[0]
    await yard.job_store.cancel(off.id)
    await asyncio.sleep(0.5)  # longer than a sign of life takes
    go_on.set()

    async def over() -> bool:
        return {job.state for job in await Job.all()} == {JobState.DONE, JobState.CANCELLED}

    await yard.until(over)


def test_catalog_when_together_makes_no_sense_then_refused() -> None:
    async def run() -> None: ...

    with pytest.raises(ValueError, match="batch_size"):
        TaskCatalog({"mail.send": Task("send", run, "", batch_size=0)})


# -- the wake-up queue --------------------------------------------------------------------------------------------


async def test_answer_when_one_message_comes_then_runs_all_that_is_due(yard: Yard) -> None:
    async def send(name: str) -> None:
        yard.ran.append(name)

    yard.task(send)
    await _store(yard, 1, *(str(number) for number in range(30)))
    await yard.runner().answer()
    assert len(yard.ran) == 30


async def test_ring_when_thousands_are_due_then_as_many_messages_as_wake_everybody(yard: Yard) -> None:
    await yard.wakeups.ring(5000)
    assert await yard.wakeups.waiting() == MESSAGES
