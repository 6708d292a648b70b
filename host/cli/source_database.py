"""Read tables, columns and keys of an existing SQLite or PostgreSQL database, without writing to it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import asyncpg  # type: ignore[import-untyped]
from aerich.inspectdb import Column, Inspect
from aerich.inspectdb.postgres import InspectPostgres
from aerich.inspectdb.sqlite import InspectSQLite
from tortoise.backends.base.client import BaseDBAsyncClient

from host.cli.terminal import Complaint

URLS = "write sqlite:///path/to/file.sqlite3 or postgres://user:password@host/name"
BOOKKEEPING = frozenset({"aerich", "tortoise_migrations", "alembic_version", "django_migrations", "schema_migrations"})
"""Tables in which migration tools note what they have done."""

_POSTGRES_TABLES = """
SELECT c.relname::text AS name FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
    AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname
"""
_POSTGRES_COLUMNS = """
SELECT column_name::text AS name, udt_name::text AS data_type, is_nullable = 'YES' AS null, column_default AS default,
    character_maximum_length AS length, numeric_precision AS max_digits, numeric_scale AS decimal_places
FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position
"""
_POSTGRES_INDEXES = """
SELECT i.indisprimary AS is_primary, i.indisunique AS is_unique, i.indpred IS NOT NULL AS is_partial, ARRAY(
        SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k(number, place)
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relname = $1 AND c.relnamespace = current_schema()::regnamespace ORDER BY i.indexrelid
"""
_POSTGRES_LINKS = """
SELECT t.relname::text AS target, k.confdeltype::text AS on_delete, ARRAY(
        SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY n(number, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.number ORDER BY n.place) AS columns, ARRAY(
        SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY n(number, place)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.number ORDER BY n.place) AS targets
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid
WHERE k.contype = 'f' AND c.relname = $1 AND c.relnamespace = current_schema()::regnamespace ORDER BY k.oid
"""
_ON_DELETE = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Index:
    """Columns that are indexed together. is_partial: for some rows only, or of an expression."""

    columns: tuple[str, ...]
    is_unique: bool
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class SourceLink:
    """A foreign key: `columns` hold the values of `targets` in the table `target`. on_delete: as SQL says it."""

    columns: tuple[str, ...]
    target: str
    targets: tuple[str, ...]
    on_delete: str


@dataclass(frozen=True, slots=True)
class SourceTable:
    """One table as it is in the source. field_types: column -> name of the ORM's field class, where one fits."""

    name: str
    columns: tuple[Column, ...]
    field_types: Mapping[str, str]
    primary_key: tuple[str, ...]
    indexes: tuple[Index, ...]
    links: tuple[SourceLink, ...]
    rows: int


class Source:
    """A connection that can only read; aerich's inspectors use it as the ORM's client."""

    async def execute_query_dict(self, sql: str, values: Sequence[object] | None = None) -> Rows:
        """The rows of a query, as dicts."""
        raise NotImplementedError

    async def tables(self) -> tuple[str, ...]:
        """The names of the tables, without those of migration tools."""
        raise NotImplementedError

    async def read(self, name: str) -> SourceTable:
        """One table with its keys and the number of its rows."""
        raise NotImplementedError

    async def _count(self, name: str) -> int:
        rows = await self.execute_query_dict(f"SELECT count(*) AS rows FROM {quoted(name)}")  # noqa: S608
        return int(rows[0]["rows"])


class SqliteSource(Source):
    """An SQLite file, opened read-only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        self._connection = connection
        self._inspector = _SqliteColumns(cast(BaseDBAsyncClient, self))

    async def execute_query_dict(self, sql: str, values: Sequence[object] | None = None) -> Rows:
        return [dict(row) for row in self._connection.execute(sql, values or ())]

    async def tables(self) -> tuple[str, ...]:
        return _without_bookkeeping(await self._inspector.get_all_tables())

    async def read(self, name: str) -> SourceTable:
        columns = await self._inspector.get_columns(quoted(name))
        for column in columns:
            column.data_type = column.data_type.strip().upper()
        info = await self.execute_query_dict(f"PRAGMA table_info({quoted(name)})")
        key = sorted((row["pk"], row["name"]) for row in info if row["pk"])
        links: dict[int, list[Mapping[str, Any]]] = {}
        for row in await self.execute_query_dict(f"PRAGMA foreign_key_list({quoted(name)})"):
            links.setdefault(row["id"], []).append(row)
        return SourceTable(
            name=name,
            columns=tuple(columns),
            field_types=_field_types(self._inspector, columns),
            primary_key=tuple(column for _, column in key),
            indexes=tuple([await self._index(row) for row in await self._indexes(name)]),
            links=tuple([await self._link(rows) for _, rows in sorted(links.items())]),
            rows=await self._count(name),
        )

    async def _indexes(self, name: str) -> Rows:
        listed = await self.execute_query_dict(f"PRAGMA index_list({quoted(name)})")
        return [row for row in reversed(listed) if row["origin"] != "pk"]

    async def _index(self, row: Mapping[str, Any]) -> Index:
        info = await self.execute_query_dict(f"PRAGMA index_info({quoted(row['name'])})")
        columns = tuple(part["name"] for part in info if part["name"] is not None)
        return Index(columns, bool(row["unique"]), bool(row["partial"]) or len(columns) < len(info))

    async def _link(self, rows: Rows) -> SourceLink:
        target = rows[0]["table"]
        targets = tuple(row["to"] for row in rows)
        if None in targets:  # REFERENCES without columns means the primary key
            info = await self.execute_query_dict(f"PRAGMA table_info({quoted(target)})")
            targets = tuple(column for _, column in sorted((row["pk"], row["name"]) for row in info if row["pk"]))
        return SourceLink(tuple(row["from"] for row in rows), target, targets, rows[0]["on_delete"])


class PostgresSource(Source):
    """A PostgreSQL database in a read-only session; the tables of its current schema."""

    server_settings: Mapping[str, str] = {}

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self._inspector = InspectPostgres(cast(Any, self))

    async def execute_query_dict(self, sql: str, values: Sequence[object] | None = None) -> Rows:
        return [dict(row) for row in await self._connection.fetch(sql, *(values or ()))]

    async def tables(self) -> tuple[str, ...]:
        return _without_bookkeeping([row["name"] for row in await self.execute_query_dict(_POSTGRES_TABLES)])

    async def read(self, name: str) -> SourceTable:
        # Not aerich's `get_columns`: it fails for names with capitals and repeats columns that are in two constraints.
        rows = await self.execute_query_dict(_POSTGRES_COLUMNS, [name])
        columns = [Column(**row, pk=False, unique=False, index=False) for row in rows]
        indexes = await self.execute_query_dict(_POSTGRES_INDEXES, [name])
        links = await self.execute_query_dict(_POSTGRES_LINKS, [name])
        return SourceTable(
            name=name,
            columns=tuple(columns),
            field_types=_field_types(self._inspector, columns),
            primary_key=next((tuple(row["columns"]) for row in indexes if row["is_primary"]), ()),
            indexes=tuple(_postgres_index(row) for row in indexes if not row["is_primary"]),
            links=tuple(
                SourceLink(tuple(row["columns"]), row["target"], tuple(row["targets"]), _ON_DELETE[row["on_delete"]])
                for row in links
            ),
            rows=await self._count(name),
        )


class _SqliteColumns(InspectSQLite):
    """aerich's inspector without its look at indexes, which fails for names that need quotes."""

    async def _get_columns_index(self, table: str) -> dict[str, str]:
        return {}


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Source]:
    """Open a database to read from.

    Raises:
        Complaint: the URL is not one of a database that can be read, or the database refuses.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = unquote(parts.netloc + parts.path)
        file = next((file for file in (Path(path), Path(path.lstrip("/"))) if file.is_file()), None)
        if file is None:
            raise Complaint(f"there is no file {path}", URLS)
        try:
            with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                yield SqliteSource(connection)
        except sqlite3.DatabaseError as error:
            raise Complaint(f"{file} cannot be read: {error}", "name an SQLite file that can be read") from error
    elif parts.scheme in {"postgres", "postgresql"}:
        try:
            opened_connection = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "on"})
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise Complaint(f"the database refuses: {error}", URLS) from error
        try:
            yield PostgresSource(opened_connection)
        finally:
            await opened_connection.close()
    else:
        raise Complaint(f"{parts.scheme or url!r} is not a kind of database that can be read", URLS)


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _without_bookkeeping(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if name not in BOOKKEEPING and not name.startswith("sqlite_")))


def _postgres_index(row: Mapping[str, Any]) -> Index:
    columns = tuple(name for name in row["columns"] if name is not None)
    return Index(columns, row["is_unique"], row["is_partial"] or len(columns) < len(row["columns"]))


def _field_types(inspector: Inspect, columns: Sequence[Column]) -> Mapping[str, str]:
    """Column -> the field class that aerich takes for its type, such as `CharField`."""
    types = {}
    for column in columns:
        if make := inspector.field_map.get(column.data_type):
            made = make(name="field", pk="", index="", null="", default="", length="", comment="")
            types[column.name] = made.removeprefix("field = fields.").partition("(")[0]
    return types
