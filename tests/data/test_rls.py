"""Row-level security: what the database itself refuses, and whether `rls.check` sees every gap."""

from __future__ import annotations

import asyncio
import random
import sys
from types import ModuleType
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tortoise import fields
from tortoise.exceptions import IntegrityError, OperationalError
from tortoise.models import Model
from tortoise.utils import generate_schema_for_client
from uuid_utils.compat import uuid7

from host.contracts import Query
from host.data import rls
from host.data.database import Database
from host.data.records import Records
from host.errors import NotFound
from host.jobs.catalog import JobDraft
from host.jobs.job_store import JobStore
from host.jobs.models import Job
from tenants.context import WrongTenant, bind, cross_tenant
from tenants.models import Domain, Tenant

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
    assert await rls.secure(shop.database) == []
    assert await rls.check(shop.database) == []


async def test_check_when_a_table_is_not_there_then_it_is_named(shop: Any) -> None:
    async with shop.database.owner() as client:
        await client.execute_script("DROP TABLE shop_books")
    assert "table shop_books does not exist: run the migrations" in await rls.check(shop.database)


@sqlite_only
@pytest.mark.parametrize(
    "damage",
    [
        "DROP TRIGGER isolation_shop_books_shelf_id_insert",
        "DROP TRIGGER isolation_shop_shelves_tenant",
        "DROP TRIGGER isolation_shop_books_tenant; CREATE TRIGGER isolation_shop_books_tenant "
        "BEFORE UPDATE OF tenant_id "
        "ON shop_books BEGIN SELECT 1; END",
    ],
)
async def test_check_when_a_trigger_is_damaged_then_told_and_mended(shop: Any, damage: str) -> None:
    async with shop.database.owner() as client:
        await client.execute_script(damage)
    assert await rls.check(shop.database)
    assert await rls.secure(shop.database)
    assert await rls.check(shop.database) == []


@postgres_only
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("ALTER TABLE shop_books DISABLE ROW LEVEL SECURITY", "has no row-level security"),
        ("DROP POLICY tenant_only ON shop_books", "lacks the policy tenant_only"),
        ("ALTER POLICY tenant_only ON shop_books USING (true)", "lacks the policy tenant_only"),
        ("ALTER POLICY tenant_only ON shop_books WITH CHECK (true)", "lacks the policy tenant_only"),
        ("ALTER TABLE shop_books ALTER tenant_id DROP NOT NULL", "rows without a tenant"),
        (
            "ALTER TABLE shop_books DROP CONSTRAINT isolation_shop_books_shelf_id",
            "another tenant's row of shop_shelves",
        ),
        ("ALTER TABLE shop_shelves DROP CONSTRAINT isolation_shop_shelves_id_key CASCADE", "lacks the key"),
        ("REVOKE UPDATE ON shop_books FROM tenantry_app", "lacks UPDATE on shop_books"),
    ],
)
async def test_check_when_a_policy_is_damaged_then_told_and_mended(shop: Any, damage: str, told: str) -> None:
    async with shop.database.owner() as client:
        await client.execute_script(damage)
    assert any(told in finding for finding in await rls.check(shop.database))
    await rls.secure(shop.database)
    assert await rls.check(shop.database) == []


@postgres_only
async def test_check_when_an_unknown_policy_lets_rows_through_then_told(shop: Any) -> None:
    async with shop.database.owner() as client:
        await client.execute_script("CREATE POLICY open ON shop_books FOR SELECT USING (true)")
    assert any("an unknown policy open" in finding for finding in await rls.check(shop.database))


@postgres_only
async def test_check_when_the_serving_role_owns_a_table_then_told(shop: Any) -> None:
    async with shop.database.owner() as client:
        await client.execute_script("ALTER TABLE shop_books OWNER TO tenantry_app")
    assert any("owns table shop_books" in finding for finding in await rls.check(shop.database))
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
    with cross_tenant("test"):
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
    with cross_tenant("test"):
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
        await rls.secure(database)
        assert await rls.check(database) == []
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


@postgres_only
async def test_jobs_and_domains_when_a_tenant_is_bound_then_its_own_only_and_unbound_the_hosts(
    database: Database, new_place: Any
) -> None:
    one, two = uuid7(), uuid7()
    for tenant in (one, two):
        await Tenant.create(id=tenant, slug=f"t-{tenant.hex}", name="x", plan="free")
        await Domain.create(tenant_id=tenant, hostname=f"{tenant.hex}.example.com")
    job_store = JobStore()
    with bind(one):  # a job of one's own, another's, and nobody's, such as a listener's or a purge's
        await job_store.store([JobDraft(task="shop.paint", tenant_id=each, arguments={}) for each in (one, two, None)])
    for model, everybodys in ((Job, 3), (Domain, 2)):
        assert await model.all().count() == everybodys
        with bind(one):
            assert [row.tenant_id for row in await model.all()] == [one]
            assert await model.filter(tenant_id=two).delete() == 0
        assert await model.all().count() == everybodys
    connection = await asyncpg.connect(database._url)
    try:  # whoever else comes in as this role: a report, a shell
        await connection.execute("SET ROLE tenantry_app")
        assert await connection.fetchval("SELECT count(*) FROM jobs") == 0
        assert await connection.fetchval("SELECT count(*) FROM domains") == 0
    finally:
        await connection.close()
    assert {(await job_store.claim("w")).tenant_id for _ in range(3)} == {one, two, None}


@postgres_only
async def test_catalogue_when_read_then_every_table_with_a_tenant_column_is_isolated(database: Database) -> None:
    async with database.owner() as client:
        rows = await client.execute_query_dict(
            "SELECT relname::text AS name, relrowsecurity AS secured FROM pg_class c JOIN pg_attribute a "
            "ON a.attrelid = c.oid AND a.attname = 'tenant_id' WHERE relkind IN ('r', 'p') "
            "AND relnamespace = current_schema()::regnamespace"
        )
    assert {"jobs", "domains", "roles"} <= {row["name"] for row in rows}
    assert [row["name"] for row in rows if not row["secured"]] == []


BESIDE = {
    "a table of no loaded plugin": "CREATE TABLE beside (id int, tenant_id uuid)",
    "a table that links to tenants": "CREATE TABLE beside (id int, whose uuid REFERENCES tenants (id))",
    "a partitioned table": "CREATE TABLE beside (id int, tenant_id uuid) PARTITION BY HASH (tenant_id)",
    "a view": "CREATE VIEW beside AS SELECT name FROM roles",
    "a view of a view": "CREATE VIEW below AS SELECT * FROM roles; CREATE VIEW beside AS SELECT name FROM below",
    "a materialised view": "CREATE MATERIALIZED VIEW beside AS SELECT name FROM roles",
    "a foreign table": "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; "
    "CREATE FOREIGN TABLE beside (id int, tenant_id uuid) SERVER s",
    "a table in another schema": "CREATE SCHEMA elsewhere; GRANT USAGE ON SCHEMA elsewhere TO tenantry_app; "
    "CREATE TABLE elsewhere.beside (id int, tenant_id uuid)",
}


@postgres_only
@pytest.mark.parametrize("made", BESIDE.values(), ids=BESIDE.keys())
async def test_check_when_something_beside_the_models_shows_tenants_rows_then_named_if_it_can_be_read(
    database: Database, made: str
) -> None:
    where = "elsewhere.beside" if "elsewhere" in made else "beside"
    async with database.owner() as client:
        await client.execute_script(made)
        assert await rls.check(database) == []  # nobody who serves can read it
        await client.execute_script(f"GRANT SELECT ON {where} TO tenantry_app")
    [finding] = await rls.secure(database)  # named, and left alone: whose it is, a person must say
    assert where in finding
    assert len(await rls.check(database)) == 1


@postgres_only
async def test_check_when_a_view_asks_as_its_reader_then_nothing_is_wrong(database: Database) -> None:
    async with database.owner() as client:
        await client.execute_script(
            "CREATE VIEW beside WITH (security_invoker = true) AS SELECT * FROM roles; "
            "GRANT SELECT ON beside TO tenantry_app"
        )
    assert await rls.check(database) == []


@postgres_only
async def test_check_when_the_serving_role_may_empty_a_table_then_told_and_mended(shop: Any) -> None:
    async with shop.database.owner() as client:
        await client.execute_script("GRANT TRUNCATE ON shop_books TO tenantry_app")
    assert any("may TRUNCATE shop_books" in finding for finding in await rls.secure(shop.database))
    assert await rls.check(shop.database) == []


async def test_check_when_a_model_with_a_tenant_column_is_no_tenant_model_then_named_and_isolated(
    new_database: Any,
) -> None:
    database = await new_database({"notes": [_loose_module()]})
    [finding] = await rls.check(database)
    assert finding == "loose_notes.tenant_id names a row's tenant, but its model is not a TenantModel"
    if database.dialect == "postgres":
        with database.bind(), bind(uuid7()), pytest.raises(WrongTenant):
            await LooseNote.create(id=1, tenant_id=uuid7())


class LooseNote(Model):
    id = fields.IntField(primary_key=True)
    tenant_id = fields.UUIDField()

    class Meta:
        table = "loose_notes"


def _loose_module() -> ModuleType:
    module = ModuleType("loose_models")
    module.__models__ = [LooseNote]  # type: ignore[attr-defined]
    return sys.modules.setdefault("loose_models", module)
