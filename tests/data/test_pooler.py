"""Behind a real PgBouncer in transaction mode: nothing that is set on a connection lasts."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from tortoise.exceptions import OperationalError
from tortoise.utils import generate_schema_for_client
from uuid_utils.compat import uuid7

from host.data import rls
from host.data.database import Database
from host.data.records import Query, Records
from host.errors import ConfigurationError, Unavailable
from tenants.context import WrongTenant, bind, cross_tenant

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
pytestmark = [
    pytest.mark.parametrize("backend", ["postgres"], indirect=True),
    pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer on this machine (apt-get install pgbouncer)"),
]
DROPPED = "role, statement_timeout, idle_in_transaction_session_timeout, jit, app.system"

Pooled = Callable[[str], str]


@pytest.fixture
def pooled(request: pytest.FixtureRequest) -> Iterator[Pooled]:
    """Turns the address of a database into one that leads through PgBouncer; two connections serve all."""
    server = urlsplit(os.environ["TEST_DATABASE_URL"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    config = folder / "pgbouncer.ini"
    password = f" password={server.password}" if server.password else ""
    config.write_text(f"""
[databases]
* = host={server.hostname} port={server.port or 5432} user={server.username}{password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
ignore_startup_parameters = {getattr(request, "param", "")}
""")
    as_other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(PGBOUNCER), str(config)], stdout=log, stderr=log, cwd="/", **as_other)
    try:
        _until_it_listens(port, folder / "log")
        yield lambda url: urlsplit(url)._replace(netloc=f"{server.username}@127.0.0.1:{port}").geturl()
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _until_it_listens(port: int, log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
async def behind(pooled: Pooled, new_place: Any, shop_apps: Any) -> Any:
    """A shop's database, open through the pooler."""
    place = await new_place()
    database = Database(pooled(place["url"]), apps=shop_apps, pool=8, pooler=True, timeout=10.0)
    await database.open()
    async with database.owner() as client:
        await generate_schema_for_client(client, safe=False)
    await rls.secure(database)
    yield database
    await database.close()


async def test_database_when_behind_a_pooler_then_every_kind_of_statement_is_held_back(
    behind: Database, shop_apps: Any
) -> None:
    shelf_model, book_model, town_model = shop_apps["shop"][0].__models__
    one, two = uuid7(), uuid7()
    await behind.ping()
    assert await rls.check(behind) == []
    with behind.bind():
        for tenant in (one, two):
            with bind(tenant):
                shelf = await shelf_model.create(name=str(tenant))
                await Records(book_model).insert(title=str(tenant), shelf_id=shelf.id)
                async with behind.transaction():
                    await Records(book_model).insert(title=str(tenant), shelf_id=shelf.id)
        await town_model.create(id=1, name="Ghent")  # nothing bound, a table of nobody's
        assert [town.name for town in await town_model.all()] == ["Ghent"]
        assert await behind.fetch("SELECT * FROM shop_books") == []
        assert (await behind.fetch("SELECT current_user::text AS name"))[0]["name"] == "tenantry_app"
        with bind(one):
            assert {book.title for book in await book_model.all()} == {str(one)}
            assert {row["title"] for row in (await Records(book_model).page(Query(limit=9))).items} == {str(one)}
            assert {row["title"] for row in await behind.fetch("SELECT title FROM shop_books")} == {str(one)}
            with pytest.raises((OperationalError, WrongTenant)):
                await behind.execute("UPDATE shop_shelves SET tenant_id = $1", two)
        with cross_tenant("test"):
            assert len(await behind.fetch("SELECT * FROM shop_books")) == 4


async def test_tenants_when_many_share_two_connections_then_no_wrong_row(behind: Database, shop_apps: Any) -> None:
    shelf_model, book_model, _ = shop_apps["shop"][0].__models__
    tenants = [uuid7() for _ in range(5)]

    async def read(tenant: UUID, number: int) -> set[str]:
        with bind(tenant):
            ways: list[Callable[[], Awaitable[Any]]] = [
                lambda: behind.fetch("SELECT title FROM shop_books"),
                lambda: book_model.all().values("title"),
                lambda: Records(book_model).page(Query(limit=50)),
            ]
            if number % 4 == 3:
                async with behind.transaction():
                    found = await ways[number % 3]()
                    found = [*(getattr(found, "items", found)), *await ways[0]()]
            else:
                found = await ways[number % 3]()
            return {row["title"] for row in getattr(found, "items", found)}

    with behind.bind():
        for tenant in tenants:
            with bind(tenant):
                shelf = await shelf_model.create(name="prose")
                await book_model.create(title=str(tenant), shelf_id=shelf.id)
        asked = [tenants[number % 5] for number in range(200)]
        found = await asyncio.gather(*(read(tenant, number) for number, tenant in enumerate(asked)))
    assert found == [{str(tenant)} for tenant in asked]


async def test_migrate_when_behind_a_pooler_then_two_at_once_take_turns(
    pooled: Pooled, new_place: Any, two_apps_migrated: Any
) -> None:
    place = await new_place()
    url = pooled(place["url"])
    assert sorted(await asyncio.gather(two_apps_migrated(url), two_apps_migrated(url)))[0] == 0


@pytest.fixture
def two_apps_migrated() -> Callable[[str], Awaitable[int]]:
    """Migrates the tables of tenants; how many steps that were."""
    from host.data.migrations import Migrations

    async def migrate(url: str) -> int:
        apps, packages = {"tenants": ("tenants.models",)}, {"tenants": "tenants.migrations"}
        database = Database(url, apps=apps, migrations=packages, pooler=True)
        await database.open()
        try:
            return len(await Migrations(database).migrate())
        finally:
            await database.close()

    return migrate


@pytest.mark.parametrize("pooled", ["", DROPPED], indirect=True, ids=["refuses parameters", "drops parameters"])
async def test_database_when_the_pooler_is_not_told_of_then_nothing_is_read_and_the_setting_is_named(
    pooled: Pooled, new_place: Any, shop_apps: Any
) -> None:
    place = await new_place()
    database = Database(pooled(place["url"]), apps=shop_apps)
    await database.open()
    with pytest.raises(ConfigurationError, match=r"pooler = true in \[database\]"):
        await database.ping()
    await database.close()


async def test_transaction_when_the_login_may_not_become_the_role_then_unavailable_and_not_as_the_login(
    pooled: Pooled, new_place: Any, shop_apps: Any
) -> None:
    place = await new_place()
    served = pooled(place["url"]).replace("postgres@", "nobody_we_know@", 1)
    database = Database(served, owner_url=place["url"], apps=shop_apps, pooler=True)
    await database.open()
    with pytest.raises(Unavailable, match="another role"):
        await database.fetch("SELECT 1 AS one")
    await database.close()
