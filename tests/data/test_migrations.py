"""Migrations: generated, run, taken back; on both databases, by one process or two."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.exceptions import IntegrityError
from uuid_utils.compat import uuid7

from host.contracts import Query
from host.data import rls
from host.data.database import Database
from host.data.migrations import Migrations, _advisory_lock
from host.data.records import Records
from host.errors import ConfigurationError
from tenants.context import bind

HEAD = """
from tortoise import fields
from tenants.scoping import TenantModel
"""
SHELVES = """
class Shelf(TenantModel):
    name = fields.CharField(max_length=40)
    note = fields.CharField(max_length=40, null=True)
    kind = fields.CharField(max_length=10, unique=True)
    class Meta:
        table = "{tag}_shelves"
        unique_together = (("tenant_id", "name"),)
        indexes = (("tenant_id", "note"),)
class Book(TenantModel):
    shelf = fields.ForeignKeyField("{tag}a.Shelf", related_name=False)
    title = fields.CharField(max_length=100)
    class Meta:
        table = "{tag}_books"
"""
LOANS = """
class Loan(TenantModel):
    book = fields.ForeignKeyField("{tag}a.Book", related_name=False)
    class Meta:
        table = "{tag}_loans"
"""


class Workshop:
    """Plugins on disk, whose models change: `a` with shelves and books, `b` that links to books."""

    def __init__(self, folder: Path, place: Mapping[str, Any]) -> None:
        self.tag = f"t{uuid4().hex[:8]}"
        self.folder = folder
        self.place = place
        self._version = 0

    def write(self, plugin: str, source: str) -> str:
        """The models of a plugin as they are now; returns the module's name."""
        self._version += 1
        package = self.folder / f"{self.tag}{plugin}"
        (package / "migrations").mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "migrations/__init__.py").touch()
        (package / f"models{self._version}.py").write_text(HEAD + source.replace("{tag}", self.tag))
        importlib.invalidate_caches()
        return f"{self.tag}{plugin}.models{self._version}"

    @asynccontextmanager
    async def open(self, **modules: str) -> AsyncIterator[tuple[Database, Migrations]]:
        apps = {f"{self.tag}{plugin}": [module] for plugin, module in modules.items()}
        migrations = {label: f"{label}.migrations" for label in apps}
        database = Database(**self.place, apps=apps, migrations=migrations, timeout=10)
        await database.open()
        EXECUTOR_CACHE.clear()  # the ORM keeps SQL by table for the life of the process; here one table has two shapes
        try:
            yield database, Migrations(database)
        finally:
            await database.close()

    async def make(self, **modules: str) -> None:
        async with self.open(**modules) as (_, migrations):
            for plugin in modules:
                await migrations.make(f"{self.tag}{plugin}")


@pytest.fixture
async def workshop(new_place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Workshop(tmp_path, await new_place())


async def tables(database: Database) -> set[str]:
    async with database.owner() as client:
        sql = (
            "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
            if database.dialect == "postgres"
            else "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
        return {row["name"] for row in await client.execute_query_dict(sql)}


def model(database: Database, name: str) -> Any:
    return next(each for each in database.models() if each.__name__ == name)


async def fill(database: Database, tenant: UUID) -> tuple[UUID, UUID]:
    with database.bind(), bind(tenant):
        shelf = await model(database, "Shelf").create(name="prose", note="n", kind="k")
        book = await model(database, "Book").create(shelf_id=shelf.id, title="t")
    return shelf.id, book.id


async def test_migrate_when_nothing_ran_yet_then_tables_and_policies_are_there(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        told: list[tuple[str, int, int]] = []
        assert [str(step) for step in await migrations.pending()] == [f"{workshop.tag}a.0001_initial"]
        assert "tortoise_migrations" not in await tables(database)  # looking changes nothing
        assert len(await migrations.migrate(lambda *step: told.append(step))) == 1
        assert told == [(f"{workshop.tag}a.0001_initial", 1, 1)]
        assert await rls.check(database) == []
        assert await migrations.pending() == []
        assert await migrations.migrate() == []
        await fill(database, uuid7())


async def test_make_when_the_models_have_not_changed_then_nothing(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    async with workshop.open(a=a) as (_, migrations):
        path = await migrations.make(f"{workshop.tag}a")
        assert path is not None
        assert path.name == "0001_initial.py"
        assert path.read_text().startswith('"""')
        assert await migrations.make(f"{workshop.tag}a") is None
        with pytest.raises(ConfigurationError, match="no migrations package"):
            await migrations.make("stranger")


async def test_make_when_a_field_is_new_then_named_after_it(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    changed = workshop.write(
        "a", SHELVES.replace("max_length=100)", "max_length=100)\n    pages = fields.IntField(null=True)")
    )
    async with workshop.open(a=changed) as (_, migrations):
        path = await migrations.make(f"{workshop.tag}a")
        assert path is not None
        assert path.name == "0002_add_field_pages_to_book.py"


@pytest.mark.parametrize(
    ("field", "fits"),
    [
        ("pages = fields.IntField()", False),
        ("pages = fields.IntField(default=0)", False),  # a default of Python's: rows that are there never saw it
        ("pages = fields.IntField(default=0, db_default=0)", True),
        ("pages = fields.IntField(null=True)", True),
        ('pages = fields.ForeignKeyField("{tag}a.Shelf", related_name="more")', False),
    ],
)
async def test_make_when_rows_there_are_could_not_have_a_new_column_then_refused_saying_what_to_do(
    workshop: Workshop, field: str, fits: bool
) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        await migrations.migrate()
        await fill(database, uuid7())
        assert await migrations.unmade() == []
    changed = workshop.write("a", SHELVES.replace("max_length=100)", f"max_length=100)\n    {field}"))
    async with workshop.open(a=changed) as (database, migrations):
        [told] = await migrations.unmade()
        assert "pages" in told
        assert f"tenantry migrate --make {workshop.tag}a" in told
        if not fits:
            with pytest.raises(ConfigurationError, match=r"Book\.pages .*db_default"):
                await migrations.make(f"{workshop.tag}a")
            return
        await migrations.make(f"{workshop.tag}a")
        assert await migrations.unmade() == []
        await migrations.migrate()


async def test_migrate_when_a_plugin_comes_later_then_only_its_tables_are_added(workshop: Workshop) -> None:
    a, b = workshop.write("a", SHELVES), workshop.write("b", LOANS)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        await migrations.migrate()
        _, book = await fill(database, tenant := uuid7())
    await workshop.make(a=a, b=b)
    async with workshop.open(a=a, b=b) as (database, migrations):
        assert [step.app for step in await migrations.pending()] == [f"{workshop.tag}b"]
        await migrations.migrate()
        assert await rls.check(database) == []
        with database.bind(), bind(tenant):
            await model(database, "Loan").create(book_id=book)
        other = uuid7()
        values = [uuid7(), other, book]
        with bind(other), pytest.raises(IntegrityError):
            await database.execute(
                f"INSERT INTO {workshop.tag}_loans (id, tenant_id, book_id) VALUES ($1, $2, $3)",
                *(map(str, values) if database.dialect == "sqlite" else values),
            )


async def test_downgrade_when_one_plugin_goes_then_the_other_stays(workshop: Workshop) -> None:
    a, b = workshop.write("a", SHELVES), workshop.write("b", LOANS)
    await workshop.make(a=a)
    await workshop.make(a=a, b=b)
    async with workshop.open(a=a, b=b) as (database, migrations):
        await migrations.migrate()
        shelf, _ = await fill(database, tenant := uuid7())
        with pytest.raises(ConfigurationError, match=f"{workshop.tag}b.0001_initial build on it"):
            await migrations.downgrade(f"{workshop.tag}a", "zero")
        with pytest.raises(ConfigurationError, match="zero, 0001_initial"):
            await migrations.downgrade(f"{workshop.tag}b", "0007_none")
        steps = await migrations.downgrade(f"{workshop.tag}b", "zero")
        assert [(str(step), step.backward) for step in steps] == [(f"{workshop.tag}b.0001_initial", True)]
        standing = await tables(database)
        assert f"{workshop.tag}_loans" not in standing
        assert f"{workshop.tag}_books" in standing
        with database.bind(), bind(tenant):
            assert await model(database, "Shelf").filter(id=shelf).exists()
        assert [step.app for step in await migrations.pending()] == [f"{workshop.tag}b"]
        await migrations.migrate()
        assert await rls.check(database) == []
        await migrations.downgrade(f"{workshop.tag}b", "zero")
        await migrations.downgrade(f"{workshop.tag}a", "zero")
        assert not {name for name in await tables(database) if name.startswith(workshop.tag)}


CHANGES: Mapping[str, Callable[[str], str]] = {
    "null to not null": lambda s: s.replace(
        "note = fields.CharField(max_length=40, null=True)", 'note = fields.CharField(max_length=40, default="x")'
    ),
    "not unique": lambda s: s.replace("max_length=10, unique=True", "max_length=10"),
    "longer": lambda s: s.replace("name = fields.CharField(max_length=40)", "name = fields.CharField(max_length=80)"),
    "new column": lambda s: s.replace(
        "max_length=100)", 'max_length=100)\n    state = fields.CharField(max_length=9, db_default="ok")'
    ),
    "column goes": lambda s: s.replace("    note = fields.CharField(max_length=40, null=True)\n", "").replace(
        '\n        indexes = (("tenant_id", "note"),)', ""
    ),
    "index on a column": lambda s: s.replace("max_length=100)", "max_length=100, db_index=True)"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_alter_when_the_table_has_children_then_rows_and_constraints_stay(
    workshop: Workshop, change: str
) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        await migrations.migrate()
        shelf, book = await fill(database, tenant := uuid7())
    changed = workshop.write("a", CHANGES[change](SHELVES))
    await workshop.make(a=changed)
    async with workshop.open(a=changed) as (database, migrations):
        assert await migrations.migrate()
        assert await rls.check(database) == []
        with database.bind(), bind(tenant):
            shelves, books = model(database, "Shelf"), model(database, "Book")
            assert (await shelves.get()).id == shelf
            assert (await books.get()).id == book
            with pytest.raises(IntegrityError):
                await shelves.create(name="prose", kind="other")
            if change == "not unique":
                await shelves.create(name="other", kind="k")
            else:
                with pytest.raises(IntegrityError):
                    await shelves.create(name="other", kind="k")
            await shelves.all().delete()
            assert await books.all().count() == 0  # ON DELETE CASCADE is still there
        await migrations.downgrade(f"{workshop.tag}a", "0001_initial")
        assert await rls.check(database) == []


async def test_removed_when_a_link_goes_then_its_column_goes_too(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        await migrations.migrate()
        _, book = await fill(database, tenant := uuid7())
    changed = workshop.write(
        "a", SHELVES.replace('    shelf = fields.ForeignKeyField("{tag}a.Shelf", related_name=False)\n', "")
    )
    await workshop.make(a=changed)
    async with workshop.open(a=changed) as (database, migrations):
        await migrations.migrate()
        assert await rls.check(database) == []
        with database.bind(), bind(tenant):
            assert (await model(database, "Book").get()).id == book
            await model(database, "Book").create(title="free")


async def test_constraint_when_it_goes_then_duplicates_are_allowed(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        await migrations.migrate()
        await fill(database, tenant := uuid7())
    changed = workshop.write("a", SHELVES.replace('\n        unique_together = (("tenant_id", "name"),)', ""))
    await workshop.make(a=changed)
    async with workshop.open(a=changed) as (database, migrations):
        await migrations.migrate()
        with database.bind(), bind(tenant):
            await model(database, "Shelf").create(name="prose", kind="k2")
            with pytest.raises(IntegrityError):
                await model(database, "Shelf").create(name="other", kind="k2")


BREAKING = """
from tortoise.migrations import Migration as Base, operations as ops

async def fill(apps, editor):
    Town = apps.get_model("{tag}a.Shelf")
    await Town.all().update(note="touched")
    raise RuntimeError("half way")

class Migration(Base):
    dependencies = [("{tag}a", "0001_initial")]
    operations = [ops.RunSQL('CREATE TABLE "{tag}_half" (id int)', reverse_sql=""), ops.RunPython(fill)]
"""


async def test_migrate_when_one_fails_half_way_then_nothing_of_it_stays(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        await migrations.migrate()
        await fill(database, tenant := uuid7())
        broken = workshop.folder / f"{workshop.tag}a/migrations/0002_broken.py"
        broken.write_text(BREAKING.replace("{tag}", workshop.tag))
        with pytest.raises(RuntimeError, match="half way"):
            await migrations.migrate()
        assert f"{workshop.tag}_half" not in await tables(database)
        assert [step.name for step in await migrations.pending()] == ["0002_broken"]
        with database.bind(), bind(tenant):
            assert (await model(database, "Shelf").get()).note == "n"
        broken.unlink()
        assert await rls.check(database) == []


ORPHANING = """
from tortoise.migrations import Migration as Base, operations as ops

class Migration(Base):
    dependencies = [("{tag}a", "0001_initial")]
    operations = [ops.RunSQL('DELETE FROM "{tag}_shelves"', reverse_sql="")]
"""


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_migrate_when_rows_would_lose_their_parent_then_nothing_is_changed(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        await migrations.migrate()
        await fill(database, tenant := uuid7())
        path = workshop.folder / f"{workshop.tag}a/migrations/0002_orphans.py"
        path.write_text(ORPHANING.replace("{tag}", workshop.tag))
        with pytest.raises(ConfigurationError, match="1 rows with links to missing rows"):
            await migrations.migrate()
        with database.bind(), bind(tenant):
            assert await model(database, "Shelf").all().count() == 1


async def test_dry_run_when_pending_then_the_sql_and_nothing_done(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        sql = await migrations.dry_run()
        assert f'CREATE TABLE "{workshop.tag}_books"' in sql
        assert f"-- {workshop.tag}a.0001_initial" in sql
        assert await tables(database) <= {"sqlite_sequence"}
        await migrations.migrate()
        assert await migrations.dry_run() == ""


async def test_migrate_when_the_package_is_missing_then_it_is_named(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    database = Database(
        **workshop.place, apps={f"{workshop.tag}a": [a]}, migrations={f"{workshop.tag}a": "nowhere.migrations"}
    )
    await database.open()
    with pytest.raises(ConfigurationError, match="nowhere"):
        await Migrations(database).migrate()
    await database.close()


async def test_migrate_when_another_process_is_at_it_then_waits(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations), database.owner() as other:
        if database.dialect == "postgres":
            held: Any = _advisory_lock(other)
        else:
            held = other._in_transaction()
        async with held:
            waiting = asyncio.create_task(migrations.migrate(), context=contextvars.Context())
            await asyncio.sleep(0.7)
            assert not waiting.done()
        assert len(await waiting) == 1


async def test_migrate_when_two_processes_begin_at_once_then_one_waits_and_both_succeed(workshop: Workshop) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    place = ", ".join(f"{name}={str(value)!r}" for name, value in workshop.place.items()).replace(
        "path=", "path=Path("
    ) + (")" if "path" in workshop.place else "")
    script = textwrap.dedent(f"""
        import asyncio, sys
        from pathlib import Path
        from host.data.database import Database
        from host.data.migrations import Migrations, _advisory_lock
        async def main():
            label = "{workshop.tag}a"
            database = Database({place}, apps={{label: ["{a}"]}}, migrations={{label: label + ".migrations"}})
            await database.open()
            print(len(await Migrations(database).migrate()))
            await database.close()
        asyncio.run(main())
    """)
    environment = os.environ | {"PYTHONPATH": f"{Path.cwd()}:{workshop.folder}"}
    pipe = asyncio.subprocess.PIPE
    running = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, env=environment, stdout=pipe, stderr=pipe)
        for _ in range(3)
    ]
    ended = [await asyncio.wait_for(process.communicate(), 60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], ended
    assert sorted(out.strip() for out, _ in ended) == [b"0", b"0", b"1"]


async def test_migrate_when_a_table_gets_a_sort_key_then_old_rows_are_in_order_too(
    workshop: Workshop,
) -> None:
    a = workshop.write("a", SHELVES)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        await migrations.migrate()
        with database.bind(), bind(tenant := uuid7()):
            for name in ("Zebra", "Äpfel", "apfel"):
                await model(database, "Shelf").create(name=name, kind=name)
    line = next(line for line in SHELVES.splitlines() if line.strip().startswith("name ="))
    keyed = "from tenants.text_columns import SortKeyField\n" + SHELVES.replace(
        line, f'{line}\n    name_key = SortKeyField("name")'
    )
    a = workshop.write("a", keyed)
    await workshop.make(a=a)
    async with workshop.open(a=a) as (database, migrations):
        await migrations.migrate()
        with database.bind(), bind(tenant):
            rows = await Records(model(database, "Shelf"), sorts=("name",), default_sort="name").page(Query())
        assert [row["name"] for row in rows.items] == ["apfel", "Äpfel", "Zebra"]
        assert await migrations.make(f"{workshop.tag}a") is None
