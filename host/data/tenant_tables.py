"""Find, count, read and delete a tenant's rows in every table of the database, also of plugins not loaded."""

# ruff: noqa: S608 - every name in this SQL comes quoted from the catalogue; values are parameters

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tortoise.exceptions import IntegrityError, OperationalError

from host.data.database import Database
from host.errors import Conflict
from tenants.context import WrongTenant, current

# A row's tenant is in `tenant_id`; in a table without that column, in a foreign key to `tenants`.
_POSTGRES = """
SELECT DISTINCT c.oid::regclass::text AS name, quote_ident(a.attname) AS "column",
    format_type(a.atttypid, NULL) AS kind,
    has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'DELETE') AS usable,
    EXISTS (SELECT FROM pg_attribute i WHERE i.attrelid = c.oid AND i.attname = 'id' AND NOT i.attisdropped) AS has_id
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND NOT a.attisdropped AND a.attnum > 0
    AND (n.nspname = current_schema() OR has_schema_privilege(n.oid, 'USAGE'))
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND a.atttypid = ANY (ARRAY['uuid', 'text', 'varchar', 'bpchar']::regtype[])
    AND (a.attname = 'tenant_id' OR EXISTS (
        SELECT FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.confrelid = to_regclass('tenants') AND a.attnum = ANY (k.conkey)
    ) AND NOT EXISTS (
        SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped
    ))
ORDER BY 1, 2
"""
_SQLITE = """
SELECT DISTINCT '"' || t.name || '"' AS name, '"' || c.name || '"' AS "column", 'text' AS kind, 1 AS usable,
    EXISTS (SELECT 1 FROM pragma_table_info(t.name) i WHERE i.name = 'id') AS has_id
FROM sqlite_master t JOIN pragma_table_info(t.name) c
WHERE t.type = 'table' AND t.sql NOT LIKE 'CREATE VIRTUAL%' AND (c.name = 'tenant_id' OR EXISTS (
    SELECT 1 FROM pragma_foreign_key_list(t.name) k WHERE k."table" = 'tenants' AND k."from" = c.name
) AND NOT EXISTS (SELECT 1 FROM pragma_table_info(t.name) i WHERE i.name = 'tenant_id'))
ORDER BY 1, 2
"""
_BATCH = 1_000  # rows held in memory at a time, where they can be read in batches


@dataclass(frozen=True, slots=True)
class TenantTable:
    """A table with a column that holds a row's tenant.

    name, column: quoted where necessary. kind: the column's type. usable: whether the serving role may read and
    delete. has_id: whether rows can be read in the order of `id`.
    """

    name: str
    column: str
    kind: str
    usable: bool
    has_id: bool

    @property
    def plain(self) -> str:
        """The name without quotes, as models have it."""
        return self.name.strip('"')


async def tenant_tables(database: Database, without: Collection[str] = ()) -> list[TenantTable]:
    """Every table with tenants' rows, by name; without: names of tables to leave out."""
    rows = await database.fetch(_POSTGRES if database.dialect == "postgres" else _SQLITE)
    tables = [TenantTable(**{**row, "usable": bool(row["usable"]), "has_id": bool(row["has_id"])}) for row in rows]
    return [table for table in tables if table.plain not in without]


def refuse_out_of_reach(tables: Sequence[TenantTable]) -> None:
    """Check that rows of all these tables can be read and deleted.

    Raises:
        Conflict: some tables do not allow it; the message names them.
    """
    if unusable := sorted({table.plain for table in tables if not table.usable}):
        raise Conflict(
            f"The tables {', '.join(unusable)} may hold rows of this organisation and cannot be used: let the "
            "serving role SELECT and DELETE there (`tenantry migrate` does, for a plugin that is loaded), or drop them."
        )


async def count_rows(database: Database, table: TenantTable) -> int:
    """How many rows of the bound tenant there are."""
    sql = f"SELECT count(*) AS n FROM {table.name} WHERE {table.column} = {_mark(table, 1)}"
    return int((await database.fetch(sql, _spelt(table, current())))[0]["n"])


async def read_rows(database: Database, table: TenantTable) -> AsyncIterator[dict[str, Any]]:
    """The bound tenant's rows as the database has them."""
    mine = f"SELECT * FROM {table.name} WHERE {table.column} = {_mark(table, 1)}"
    if not table.has_id:
        for row in await database.fetch(mine, _spelt(table, current())):
            yield row
        return
    rows = await database.fetch(f"{mine} ORDER BY id LIMIT {_BATCH}", _spelt(table, current()))
    while rows:
        for row in rows:
            yield row
        rows = await database.fetch(
            f"{mine} AND id > $2 ORDER BY id LIMIT {_BATCH}", _spelt(table, current()), rows[-1]["id"]
        )


async def delete_rows(database: Database, tables: Sequence[TenantTable]) -> dict[str, int]:
    """Delete the bound tenant's rows in the current transaction, in any order that works; returns rows by table.

    Raises:
        Conflict: some cannot be deleted; the message names their tables.
    """
    removed: dict[str, int] = {}
    waiting, reason = list(tables), ""
    while waiting:
        left = []
        for table in waiting:
            sql = f"DELETE FROM {table.name} WHERE {table.column} = {_mark(table, 1)}"
            try:
                async with database.client._in_transaction():  # a savepoint
                    count = await database.execute(sql, _spelt(table, current()))
                removed[table.plain] = removed.get(table.plain, 0) + count
            except (IntegrityError, OperationalError, WrongTenant) as error:
                left.append(table)
                reason = str(error)
        if len(left) == len(waiting):
            names = ", ".join(sorted({table.plain for table in left}))
            raise Conflict(f"Rows of this organisation in {names} cannot be deleted: {reason}")
        waiting = left
    return removed


def _mark(table: TenantTable, number: int) -> str:
    return f"${number}::uuid" if table.kind == "uuid" else f"${number}"


def _spelt(table: TenantTable, tenant_id: UUID) -> object:
    return tenant_id if table.kind == "uuid" else str(tenant_id)
