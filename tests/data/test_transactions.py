"""The unit of work: everything together or nothing, and what follows a commit in its order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from tortoise.exceptions import TransactionManagementError

from host.contracts import Action, Actor, Event, Origin
from host.data.transactions import AfterCommit, Transactions
from host.execution_context import acting, origin
from host.jobs.catalog import JobDraft
from tenants.context import bind, current_or_none


class ShelfBuilt(Event):
    name: str


@dataclass
class Application:
    """What the unit of work talks to, writing down what it hears and whether a transaction was open."""

    shop: Any
    heard: list[tuple[Any, ...]] = field(default_factory=list)
    veto: BaseException | None = None
    broken: bool = False

    def __post_init__(self) -> None:
        self.transactions = Transactions(
            self.shop.database, self.tell, self.jobs_for, self.store, self.push, self.touched
        )

    def note(self, what: str, detail: object) -> None:
        self.heard.append((what, detail, self.shop.database.in_transaction))

    async def tell(self, action: Action) -> None:
        self.note("told", action.name)
        self.last = action
        if self.veto:
            raise self.veto

    def jobs_for(self, event: Event) -> Sequence[JobDraft]:
        return [JobDraft(task="shop.on.built", tenant_id=current_or_none(), arguments=event.model_dump())]

    async def store(self, jobs: Sequence[JobDraft]) -> None:
        self.note("stored", [job.task for job in jobs])
        self.jobs = list(jobs)

    async def push(self, jobs: Sequence[JobDraft]) -> None:
        self.note("pushed", [job.task for job in jobs])
        if self.broken:
            raise ConnectionError("the queue is away")

    async def touched(self, tenants: set[UUID], users: set[UUID], tags: set[str]) -> AfterCommit:
        self.note("noted", (tenants, users))

        async def tell() -> None:
            self.note("touched", (tenants, users))
            if self.broken:
                raise ConnectionError("the cache is away")

        return tell

    async def shelves(self) -> int:
        with bind(self.shop.one):
            return int(await self.shop.Shelf.all().count())


@pytest.fixture
def application(shop: Any) -> Application:
    return Application(shop)


async def test_unit_of_work_when_it_ends_well_then_everything_in_order(application: Application) -> None:
    user = uuid4()

    async def callback() -> None:
        application.note("called", None)

    with bind(application.shop.one):
        async with application.transactions.begin() as work:
            await application.shop.Shelf.create(name="a")
            work.after_commit(callback)
            work.touch(tenant=application.shop.one, user=user)
            job = await work.enqueue("shop.paint", colour="red", priority=3, key="k")
            work.announce(ShelfBuilt(name="a"))
            work.record("shop.shelves.create", "shelf", 7, after={"name": "a"})
            assert application.heard == []
    assert application.heard == [
        ("told", "shop.shelves.create", True),
        ("stored", ["shop.paint", "shop.on.built"], True),
        ("noted", ({application.shop.one}, {user}), True),
        ("touched", ({application.shop.one}, {user}), False),
        ("pushed", ["shop.paint", "shop.on.built"], False),
        ("called", None, False),
    ]
    paint, built = application.jobs
    assert (paint.id, paint.tenant_id, paint.arguments) == (job, application.shop.one, {"colour": "red"})
    assert (paint.priority, paint.key) == (3, "k")
    assert paint.run_at <= datetime.now(UTC)
    assert built.arguments == {"name": "a"}
    assert await application.shelves() == 1


async def test_record_when_told_then_says_who_what_and_where(application: Application) -> None:
    who = Origin("request-1", Actor("user", uuid4(), "ada@example.com"), "10.0.0.1")
    with bind(application.shop.one), acting(who):
        async with application.transactions.begin() as work:
            work.record("shop.shelves.update", "shelf", 7, before={"name": "a"}, after={"name": "b"})
    action = application.last
    assert (action.origin, action.tenant_id, action.outcome) == (who, application.shop.one, "succeeded")
    assert (action.resource_type, action.resource_id) == ("shelf", "7")
    assert (action.before, action.after) == ({"name": "a"}, {"name": "b"})
    assert origin() is not who


@pytest.mark.parametrize("where", ["body", "on_action"])
async def test_unit_of_work_when_something_raises_then_nothing_happened(application: Application, where: str) -> None:
    if where == "on_action":
        application.veto = ZeroDivisionError()

    async def fail() -> None:
        async with application.transactions.begin() as work:
            await application.shop.Shelf.create(name="a")
            await work.enqueue("shop.paint")
            work.touch(tenant=application.shop.one)
            work.record("shop.shelves.create", "shelf", 7)
            if where == "body":
                raise ZeroDivisionError

    with bind(application.shop.one), pytest.raises(ZeroDivisionError):
        await fail()
    assert [what for what, _, _ in application.heard] == ["told"] * (where == "on_action")
    assert await application.shelves() == 0


async def test_unit_of_work_when_nested_then_the_outer_end_commits_once(application: Application) -> None:
    with bind(application.shop.one):
        async with application.transactions.begin() as outer:
            async with application.transactions.begin() as inner:
                assert inner is outer
                await application.shop.Shelf.create(name="a")
                await inner.enqueue("shop.paint")
            assert application.heard == []
            await outer.enqueue("shop.dry")
    assert [detail for what, detail, _ in application.heard if what == "stored"] == [["shop.paint", "shop.dry"]]


async def test_unit_of_work_when_the_outer_fails_then_the_inner_is_undone(application: Application) -> None:
    async def fail() -> None:
        async with application.transactions.begin():
            async with application.transactions.begin():
                await application.shop.Shelf.create(name="a")
            raise ZeroDivisionError

    with bind(application.shop.one), pytest.raises(ZeroDivisionError):
        await fail()
    assert await application.shelves() == 0


async def test_unit_of_work_when_a_step_after_the_commit_fails_then_logged_and_the_rest_goes_on(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    application.broken = True
    called = asyncio.Event()

    async def callback() -> None:
        called.set()

    with bind(application.shop.one), caplog.at_level(logging.ERROR):
        async with application.transactions.begin() as work:
            await application.shop.Shelf.create(name="a")
            await work.enqueue("shop.paint")
            work.touch(user=uuid4())
            work.after_commit(callback)
    assert called.is_set()
    assert caplog.text.count("the committed changes stay") == 2
    assert await application.shelves() == 1


async def test_unit_of_work_when_used_after_its_end_then_refused(application: Application) -> None:
    with bind(application.shop.one):
        async with application.transactions.begin() as work:
            pass
        with pytest.raises(TransactionManagementError):
            work.record("shop.shelves.create", "shelf", 1)
        with pytest.raises(TransactionManagementError):
            await work.enqueue("shop.paint")


async def test_begin_when_a_task_outlives_the_work_it_began_in_then_refused(application: Application) -> None:
    go = asyncio.Event()

    async def late() -> None:
        await go.wait()
        async with application.transactions.begin():
            pass

    with bind(application.shop.one):
        async with application.transactions.begin():
            task = asyncio.create_task(late())
            await asyncio.sleep(0)
    go.set()
    with pytest.raises(TransactionManagementError):
        await task


async def test_on_action_when_it_records_an_action_itself_then_refused(application: Application) -> None:
    async def run() -> None:
        async with application.transactions.begin() as work:
            work.record("shop.shelves.create", "shelf", 1)

            async def tell(action: Action) -> None:
                async with application.transactions.begin() as joined:
                    joined.record("shop.log.create", "entry", 1)

            application.transactions._tell = tell

    with bind(application.shop.one), pytest.raises(TransactionManagementError, match="must not record"):
        await run()


async def test_begin_when_a_bare_transaction_is_open_then_refused(application: Application) -> None:
    with bind(application.shop.one):
        async with application.shop.database.transaction():
            with pytest.raises(TransactionManagementError, match="outside"):
                await application.transactions.begin().__aenter__()


async def test_tell_alone_when_denied_then_plugins_hear_in_a_transaction(application: Application) -> None:
    action = Action("shop.shelves.delete", "shelf", "1", "denied", {}, {}, origin(), datetime.now(UTC), reason="no")
    with bind(application.shop.one):
        await application.transactions.tell_alone(action)
    assert application.heard == [("told", "shop.shelves.delete", True)]


async def test_unit_of_work_when_cancelled_in_its_last_steps_then_all_or_nothing(application: Application) -> None:
    async def work(name: str) -> None:
        with bind(application.shop.one):
            async with application.transactions.begin() as work:
                await application.shop.Shelf.create(name=name)
                await work.enqueue(name)

    for step in range(30):
        task = asyncio.create_task(work(f"s{step}"))
        await asyncio.sleep(step * 0.0004)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.1)
    with bind(application.shop.one):
        there = {shelf.name for shelf in await application.shop.Shelf.all()}
    pushed = {name for what, names, _ in application.heard if what == "pushed" for name in names}
    assert pushed <= there  # a job is never pushed for work that was undone
