"""Rows to insert wait for the next statement or the end, and what only inserts is one statement."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tortoise.exceptions import IntegrityError
from tortoise.transactions import in_transaction

from host.contracts import Query
from host.data.deferred_insert import insert_new
from host.data.postgres_pool import _Connection
from host.data.records import Records
from host.jobs.catalog import JobDraft
from host.jobs.job_store import JobStore
from host.jobs.models import Job
from tenants.context import bind


@pytest.fixture
def backend() -> str:
    if not os.environ.get("TEST_DATABASE_URL"):
        pytest.skip("no postgres here")
    return "postgres"


@pytest.fixture
def shop_apps(shop_apps: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {**shop_apps, "host": ["host.jobs.models"]}


@pytest.fixture
def shelves(shop: Any) -> Records:
    return Records(shop.Shelf, sorts=("created_at", "name"), default_sort="name")


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The SQL of every trip to the server."""
    seen: list[str] = []
    for name in ("fetch", "execute"):
        original = getattr(_Connection, name)

        async def noted(self: Any, query: str, *values: Any, original: Any = original, **options: Any) -> Any:
            seen.append(query)
            return await original(self, query, *values, **options)

        monkeypatch.setattr(_Connection, name, noted)
    return seen


async def names(shelves: Records, tenant: Any) -> list[str]:
    with bind(tenant):
        return [row["name"] for row in (await shelves.page(Query(sort="name"))).items]


async def test_inserts_when_nothing_else_is_done_then_one_trip_for_all(shop, shelves, trips) -> None:
    with bind(shop.one):
        await shelves.count()
        trips.clear()
        async with shop.database.transaction():
            first = await shelves.insert(name="a")
            await shelves.insert(name="b")
        assert len(trips) == 1
        assert await shelves.get(first["id"]) == first
    assert await names(shelves, shop.one) == ["a", "b"]
    assert await names(shelves, shop.two) == []


async def test_inserts_when_one_clashes_then_none_is_there(shop, shelves) -> None:
    with bind(shop.one):
        with pytest.raises(IntegrityError):
            async with shop.database.transaction():
                await shelves.insert(name="a")
                await shelves.insert(name="a")
        with pytest.raises(RuntimeError, match="undone"):
            async with shop.database.transaction():
                await shelves.insert(name="b")
                raise RuntimeError("undone")
    assert await names(shelves, shop.one) == []


async def test_jobs_when_stored_with_rows_then_in_the_same_trip_and_one_of_each_key(shop, shelves, trips) -> None:
    job_store = JobStore(insert=insert_new)
    with bind(shop.one):
        later = datetime.now(UTC) + timedelta(minutes=1)
        drafts = [
            JobDraft("mail.send", shop.one, {"number": 1}),
            JobDraft("mail.send", shop.one, run_at=later, key="k"),
        ]
        for number in range(2):
            trips.clear()
            async with shop.database.transaction():
                await shelves.insert(name=f"{number}")
                await job_store.store([drafts[0]] if number else drafts)
                await job_store.store([JobDraft("mail.send", shop.one, run_at=later, key="k")])
            assert len(trips) == 1
        many = [JobDraft("mail.send", shop.one, {"number": number}) for number in range(5)]
        async with shop.database.transaction():
            await job_store.store(many)
        with pytest.raises(RuntimeError, match="undone"):
            async with shop.database.transaction():
                await job_store.store([JobDraft("mail.undone", shop.one)])
                raise RuntimeError("undone")
        await job_store.store([JobDraft("mail.alone", shop.one)])
    jobs = await Job.all().order_by("created_at")
    assert sorted((job.task, job.state) for job in jobs) == [
        ("mail.alone", "queued"),
        *[("mail.send", "queued")] * 6,
        ("mail.send", "scheduled"),
    ]
    assert jobs[0].arguments == {"number": 1}
    assert await names(shelves, shop.one) == ["0", "1"]


async def test_insert_when_looked_for_in_its_transaction_then_there(shop, shelves, trips) -> None:
    with bind(shop.one):
        async with shop.database.transaction():
            made = await shelves.insert(name="a")
            assert await shelves.get(made["id"]) == made
            assert (await shop.Shelf.get(name="a")).id == made["id"]
            await shelves.change(made["id"], {"name": "c"})
    assert await names(shelves, shop.one) == ["c"]
    assert trips.count("COMMIT") == 1


async def test_read_when_it_comes_first_then_alone_and_no_transaction_is_opened(shop, shelves, trips) -> None:
    with bind(shop.one):
        await shelves.count()
        trips.clear()
        async with shop.database.transaction():
            await shelves.find(name="a")
            await shelves.insert(name="a")
        assert len(trips) == 2
        assert not any(sql.startswith("BEGIN") for sql in trips)


async def test_inserts_when_for_two_tenants_then_each_has_its_own(shop, shelves) -> None:
    async with shop.database.transaction():
        for tenant in (shop.one, shop.two, shop.one):
            with bind(tenant):
                await shelves.insert(name=f"of {len(await names(shelves, tenant))}")
    assert await names(shelves, shop.one) == ["of 0", "of 1"]
    assert await names(shelves, shop.two) == ["of 0"]
    with pytest.raises(IntegrityError):
        async with shop.database.transaction():
            for tenant in (shop.one, shop.two, shop.two):
                with bind(tenant):
                    await shelves.insert(name="same")
    assert "same" not in await names(shelves, shop.one)


async def test_inserts_when_a_savepoint_is_taken_back_then_only_what_was_before_it_stays(shop, shelves) -> None:
    with bind(shop.one):
        async with in_transaction():
            await shelves.insert(name="before")
            with pytest.raises(RuntimeError, match="inner"):
                async with in_transaction():
                    await shelves.insert(name="within")
                    raise RuntimeError("inner")
            await shelves.insert(name="after")
    assert await names(shelves, shop.one) == ["after", "before"]


async def test_transaction_when_cancelled_over_and_over_then_no_connection_is_lost(shop, shelves) -> None:
    async def work() -> None:
        with bind(shop.one):
            async with shop.database.transaction():
                await shelves.find(id=uuid4())
                await shelves.insert(name=str(uuid4()))
                await shop.Shelf.all().count()

    for round_ in range(40):
        task = asyncio.create_task(work())
        await asyncio.sleep(0.0004 * (round_ % 10))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(asyncio.gather(*(work() for _ in range(8))), 10)
