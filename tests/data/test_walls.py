"""The second wall: what the database itself refuses, and whether the check of it sees every gap."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
from tortoise.exceptions import IntegrityError, OperationalError
from tortoise.utils import generate_schema_for_client
from uuid_utils.compat import uuid7

from host.contracts import Query
from host.data import walls
from host.data.database import Database
from host.data.records import Records
from host.errors import NotFound
from tenants.context import WrongTenant, across, bind

REFUSED = (IntegrityError, WrongTenant)
postgres_only = pytest.mark.parametrize("backend", ["postgres"], indirect=True)
sqlite_only = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def spelt(shop: Any, *values: object) -> list[object]:
    return [str(value) if isinstance(value, UUID) and shop.database.dialect == "sqlite" else value for value in values]


async def insert_book(shop: Any, tenant: UUID, shelf: UUID) -> None:
    await shop.database.execute(
        "INSERT INTO shop_books (id, tenant_id, shelf_id, title, mood, pages, tags, lent, version, created_at,"
        " updated_at) VALUES ($1, $2, $3, 't', 'new', 0, '[]', false, 1, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)",
        *spelt(shop, uuid7(), tenant, shelf),
    )


async def test_link_when_the_parent_is_another_tenants_then_refused(shop: Any) -> None:
    mine, theirs = await shop.shelf(shop.one), await shop.shelf(shop.two)
    with bind(shop.one):
        await insert_book(shop, shop.one, mine.id)
        with pytest.raises(REFUSED):
            await insert_book(shop, shop.one, theirs.id)
        with pytest.raises(REFUSED):
            await shop.database.execute("UPDATE shop_books SET shelf_id = $1", *spelt(shop, theirs.id))
        assert await shop.Book.filter(shelf_id=mine.id).count() == 1


async def test_link_when_the_parent_is_deleted_then_the_simple_rule_still_decides(shop: Any) -> None:
    shelf = await shop.shelf(shop.one)
    first = await shop.book(shop.one, shelf_id=shelf.id, title="first")
    second = await shop.book(shop.one, shelf_id=shelf.id, title="second", sequel_id=first.id)
    with bind(shop.one):
        await first.delete()
        assert (await shop.Book.get(id=second.id)).sequel_id is None
        await shelf.delete()
        assert await shop.Book.all().count() == 0


async def test_row_when_its_tenant_is_changed_then_refused(shop: Any) -> None:
    await shop.shelf(shop.one)
    with bind(shop.one), pytest.raises(REFUSED):
        await shop.database.execute("UPDATE shop_shelves SET tenant_id = $1", *spelt(shop, shop.two))


async def test_secure_when_repeated_then_nothing_was_missing(shop: Any) -> None:
    assert await walls.secure(shop.database) == []
    assert await walls.check(shop.database) == []


async def test_check_when_a_table_is_not_there_then_it_is_named(shop: Any) -> None:
    async with shop.database.owner() as client:
        await client.execute_script("DROP TABLE shop_books")
    assert "table shop_books does not exist: run the migrations" in await walls.check(shop.database)


@sqlite_only
@pytest.mark.parametrize(
    "damage",
    [
        "DROP TRIGGER wall_shop_books_shelf_id_insert",
        "DROP TRIGGER wall_shop_shelves_tenant",
        "DROP TRIGGER wall_shop_books_tenant; CREATE TRIGGER wall_shop_books_tenant BEFORE UPDATE OF tenant_id "
        "ON shop_books BEGIN SELECT 1; END",
    ],
)
async def test_check_when_a_trigger_is_damaged_then_told_and_mended(shop: Any, damage: str) -> None:
    async with shop.database.owner() as client:
        await client.execute_script(damage)
    assert await walls.check(shop.database)
    assert await walls.secure(shop.database)
    assert await walls.check(shop.database) == []


@postgres_only
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("ALTER TABLE shop_books DISABLE ROW LEVEL SECURITY", "has no row-level security"),
        ("DROP POLICY tenant_only ON shop_books", "lacks the policy tenant_only"),
        ("ALTER POLICY tenant_only ON shop_books USING (true)", "lacks the policy tenant_only"),
        ("ALTER POLICY tenant_only ON shop_books WITH CHECK (true)", "lacks the policy tenant_only"),
        ("ALTER TABLE shop_books ALTER tenant_id DROP NOT NULL", "rows without a tenant"),
        ("ALTER TABLE shop_books DROP CONSTRAINT wall_shop_books_shelf_id", "another tenant's row of shop_shelves"),
        ("ALTER TABLE shop_shelves DROP CONSTRAINT wall_shop_shelves_id_key CASCADE", "lacks the key"),
        ("REVOKE UPDATE ON shop_books FROM tenantry_app", "lacks UPDATE on shop_books"),
    ],
)
async def test_check_when_a_wall_is_damaged_then_told_and_mended(shop: Any, damage: str, told: str) -> None:
    async with shop.database.owner() as client:
        await client.execute_script(damage)
    assert any(told in gap for gap in await walls.check(shop.database))
    await walls.secure(shop.database)
    assert await walls.check(shop.database) == []


@postgres_only
async def test_check_when_a_stranger_policy_lets_rows_through_then_told(shop: Any) -> None:
    async with shop.database.owner() as client:
        await client.execute_script("CREATE POLICY open ON shop_books FOR SELECT USING (true)")
    assert any("a policy open that is not ours" in gap for gap in await walls.check(shop.database))


@postgres_only
async def test_check_when_the_serving_role_owns_a_table_then_told(shop: Any) -> None:
    async with shop.database.owner() as client:
        await client.execute_script("ALTER TABLE shop_books OWNER TO tenantry_app")
    assert any("owns table shop_books" in gap for gap in await walls.check(shop.database))
    async with shop.database.owner() as client:
        await client.execute_script("ALTER TABLE shop_books OWNER TO CURRENT_USER")


@postgres_only
async def test_serving_role_when_raw_sql_is_run_then_only_the_bound_tenants_rows(shop: Any) -> None:
    await shop.shelf(shop.one)
    await shop.shelf(shop.two, "other")
    count = "SELECT count(*) AS n FROM shop_shelves"
    [who] = await shop.database.fetch("SELECT current_user::text AS name")
    assert who == {"name": "tenantry_app"}

    async def seen() -> int:
        return int((await shop.database.fetch(count))[0]["n"])

    assert await seen() == 0  # nobody is bound
    with bind(shop.one):
        assert await seen() == 1
        async with shop.database.transaction():
            assert await seen() == 1
            with bind(shop.two):
                assert [row["name"] for row in await shop.database.fetch("SELECT name FROM shop_shelves")] == ["other"]
            assert [row["name"] for row in await shop.database.fetch("SELECT name FROM shop_shelves")] == ["prose"]
            with bind(None):
                assert await seen() == 0
    with across("test"):
        assert await seen() == 2
        async with shop.database.transaction():
            assert await seen() == 2
    assert await seen() == 0


@postgres_only
async def test_serving_role_when_it_writes_for_another_tenant_then_refused(shop: Any) -> None:
    theirs = await shop.shelf(shop.two)
    with bind(shop.one):
        with pytest.raises(REFUSED):
            await insert_book(shop, shop.two, theirs.id)
        assert await shop.database.execute("UPDATE shop_shelves SET name = 'x'") == 0
        assert await shop.database.execute("DELETE FROM shop_shelves") == 0
    with pytest.raises(REFUSED):
        await insert_book(shop, shop.two, theirs.id)
    with across("test"):
        assert await shop.database.execute("UPDATE shop_shelves SET name = 'x'") == 0
        assert await shop.database.execute("DELETE FROM shop_shelves") == 0
        with pytest.raises(REFUSED):
            await insert_book(shop, shop.two, theirs.id)


@postgres_only
@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE shop_books DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_only ON shop_books",
        "TRUNCATE shop_books",
        "CREATE TABLE mine (id int)",
        "SELECT * FROM tortoise_migrations",
    ],
)
async def test_serving_role_when_it_wants_more_than_rows_then_refused(shop: Any, sql: str) -> None:
    async with shop.database.owner() as client:
        await client.execute_script("CREATE TABLE IF NOT EXISTS tortoise_migrations (id int)")
    with pytest.raises(OperationalError):
        await shop.database.execute(sql)


@postgres_only
async def test_savepoint_when_rolled_back_then_the_tenant_is_said_again(shop: Any) -> None:
    await shop.shelf(shop.one)
    await shop.shelf(shop.two, "other")

    async def clash() -> None:
        async with shop.database.client._in_transaction():
            with bind(shop.two):
                await shop.Shelf.create(name="other")

    with bind(shop.one):
        async with shop.database.transaction():
            assert await shop.Shelf.all().count() == 1
            with pytest.raises(IntegrityError):
                await clash()
            with bind(shop.two):  # the rollback took back what the database had been told of this one
                assert [shelf.name for shelf in await shop.Shelf.all()] == ["other"]
            assert [shelf.name for shelf in await shop.Shelf.all()] == ["prose"]


@postgres_only
async def test_reads_when_mixed_with_errors_and_cancellations_then_no_wrong_row(shop: Any) -> None:
    database, Book = shop.database, shop.Book
    tenants = [uuid7() for _ in range(5)]
    books, draw = Records(Book), random.Random(1)
    wrong: list[object] = []
    done = {"read": 0, "cancelled": 0, "failed": 0}

    async def read(tenant: UUID) -> None:
        with bind(tenant):
            way = draw.randrange(7)
            if way == 0:
                names = {row["title"] for row in (await books.page(Query(limit=50))).items}
            elif way == 1:
                names = {book.title for book in await Book.all()}
            elif way == 2:
                names = {row["title"] for row in await database.fetch("SELECT title FROM shop_books")}
            elif way == 3:
                async with database.transaction():
                    names = {row["title"] for row in await database.fetch("SELECT title FROM shop_books")}
                    await asyncio.sleep(draw.random() / 500)
                    names |= {book.title for book in await Book.all()}
            elif way == 4:
                await database.fetch("SELECT 1/0 FROM shop_books")
                return
            elif way == 5:
                await books.insert(title=str(tenant), shelf_id=uuid7())
                return
            else:
                async with database.transaction():
                    await books.insert(title="never", shelf_id=shelves[tenant])
                    raise NotFound
            if names != {str(tenant)}:
                wrong.append((way, tenant, names))
            done["read"] += 1

    shelves = {tenant: (await shop.shelf(tenant)).id for tenant in tenants}
    for tenant in tenants:
        for _ in range(3):
            await shop.book(tenant, shelf_id=shelves[tenant], title=str(tenant))
    for _ in range(12):
        tasks = [asyncio.create_task(read(draw.choice(tenants))) for _ in range(50)]
        for task in tasks:
            if draw.random() < 0.3:
                asyncio.get_running_loop().call_later(draw.random() / 50, task.cancel)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            done["cancelled"] += isinstance(result, asyncio.CancelledError)
            done["failed"] += isinstance(result, OperationalError | IntegrityError | NotFound)
            assert result is None or isinstance(
                result, OperationalError | IntegrityError | NotFound | asyncio.CancelledError
            ), result
    assert wrong == []
    assert min(done.values()) > 50, done
    for tenant in tenants:
        with bind(tenant):
            assert await Book.all().count() == 3


@postgres_only
async def test_two_logins_when_given_then_the_serving_one_serves(
    shop_apps: Any, new_place: Any, administer: Any
) -> None:
    place = await new_place()
    login = f"tenantry_test_login_{uuid7().hex[-8:]}"
    await administer(f'CREATE ROLE "{login}" LOGIN')
    try:
        served = place["url"].replace("postgres@", f"{login}@", 1)
        database = Database(served, owner_url=place["url"], apps=shop_apps)
        await database.open()
        async with database.owner() as client:
            await generate_schema_for_client(client, safe=False)
        await walls.secure(database)
        assert await walls.check(database) == []
        assert (await database.fetch("SELECT current_user::text AS name"))[0]["name"] == login
        with database.bind(), bind(uuid7()):
            await shop_apps["shop"][0].__models__[0].create(name="x")
            assert len(await database.fetch("SELECT * FROM shop_shelves")) == 1
        assert await database.fetch("SELECT * FROM shop_shelves") == []
        await database.close()
        async with Database(place["url"], apps=shop_apps).owner() as client:
            await client.execute_script(f'DROP OWNED BY "{login}"')
    finally:
        await administer(f'DROP ROLE "{login}"')
