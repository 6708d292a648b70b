"""The database: bound per task, two at once, raw helpers, transactions that leave nothing behind."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from tortoise.exceptions import IntegrityError, TransactionManagementError

from host.data.database import Database, bound
from host.errors import ConfigurationError, Unavailable
from tenants.context import bind


async def test_bound_when_nothing_is_bound_then_refuses() -> None:
    with pytest.raises(RuntimeError, match="no database is bound"):
        bound()


async def test_bind_when_not_open_then_refuses() -> None:
    database = Database("postgres://nobody@127.0.0.1/none", apps={})
    with pytest.raises(RuntimeError, match="not open"), database.bind():
        pass


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://x"])
def test_database_when_the_scheme_is_foreign_then_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigurationError, match="postgres://"):
        Database(url, apps={})


async def test_ping_when_the_server_is_away_then_unavailable() -> None:
    database = Database("postgres://nobody@127.0.0.1:1/none", apps={"tenants": ["tenants.models"]})
    await database.open()
    with pytest.raises(Unavailable):
        await database.ping()
    await database.close()


async def test_fetch_when_numbered_parameters_then_both_databases_understand(shop: Any) -> None:
    await shop.database.execute("INSERT INTO shop_towns (id, name) VALUES ($2, $1)", "Ulm", 7)
    assert await shop.database.fetch("SELECT id, name FROM shop_towns WHERE name = $1", "Ulm") == [
        {"id": 7, "name": "Ulm"}
    ]
    assert await shop.database.execute("DELETE FROM shop_towns") == 1


async def test_databases_when_two_are_open_then_each_keeps_its_rows(new_database: Any, shop_apps: Any) -> None:
    first, second = await new_database(shop_apps), await new_database(shop_apps)
    await first.execute("INSERT INTO shop_towns (id, name) VALUES (1, 'Ulm')")
    with first.bind():
        assert len(await first.fetch("SELECT * FROM shop_towns")) == 1
        with second.bind():
            assert bound() is second
            assert await second.fetch("SELECT * FROM shop_towns") == []
        assert bound() is first


@pytest.mark.parametrize("nested", [False, True])
async def test_transaction_when_it_raises_then_nothing_stays(shop: Any, nested: bool) -> None:
    async def fail() -> None:
        async with shop.database.transaction():
            if nested:  # joins the outer one
                async with shop.database.transaction():
                    await shop.Shelf.create(name="gone")
            else:
                await shop.Shelf.create(name="gone")
            raise ZeroDivisionError

    with bind(shop.one):
        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await shop.Shelf.all().count() == 0


async def test_savepoint_when_its_block_raises_then_the_outer_goes_on(shop: Any) -> None:
    with bind(shop.one):
        async with shop.database.transaction():
            await shop.Shelf.create(name="kept")
            with pytest.raises(IntegrityError):
                async with shop.database.client._in_transaction():
                    await shop.Shelf.create(name="kept")
            await shop.Shelf.create(name="kept too")
        assert await shop.Shelf.all().count() == 2


async def test_transaction_when_cancelled_anywhere_then_the_next_one_works(shop: Any) -> None:
    async def work() -> None:
        with bind(shop.one):
            async with shop.database.transaction():
                await shop.Shelf.create(name=str(uuid4()))
                await asyncio.sleep(0.001)
                await shop.Shelf.create(name=str(uuid4()))
                raise ZeroDivisionError

    for step in range(40):
        task = asyncio.create_task(work())
        await asyncio.sleep(step * 0.0003)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, ZeroDivisionError)):
            await task
    with bind(shop.one):
        async with asyncio.timeout(5), shop.database.transaction():
            assert await shop.Shelf.all().count() == 0


async def test_task_when_it_outlives_its_transaction_then_it_is_refused(shop: Any) -> None:
    go = asyncio.Event()

    async def late() -> int:
        await go.wait()
        return int(await shop.Shelf.all().count())

    with bind(shop.one):
        async with shop.database.transaction():
            task = asyncio.create_task(late())
            await asyncio.sleep(0)
    go.set()
    with pytest.raises(TransactionManagementError, match="outlives"):
        await task


async def test_transaction_when_many_at_once_then_all_commit(shop: Any) -> None:
    async def work(number: int) -> None:
        with bind(shop.one):
            async with shop.database.transaction():
                await shop.Shelf.create(name=f"shelf {number}")

    await asyncio.gather(*(work(number) for number in range(30)))
    with bind(shop.one):
        assert await shop.Shelf.all().count() == 30


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_files_when_the_deployment_is_embedded_then_readable_by_their_owner_only(
    application: Any, app_settings: Any
) -> None:
    folder = app_settings.data.dir
    secrets_of_others = [
        f"{path.relative_to(folder)} {path.lstat().st_mode & 0o777:o}"
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & 0o077
    ]
    assert secrets_of_others == []
    assert {"tenantry.sqlite3", "tenantry.sqlite3-wal", "redis", "secrets"} <= {path.name for path in folder.iterdir()}
