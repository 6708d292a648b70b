"""Walls in SQLite: triggers that refuse a link to another tenant's row and a change of tenant."""

# ruff: noqa: S608 - every name in this SQL is a model's own

from __future__ import annotations

from collections.abc import Sequence

from tortoise.models import Model

from host.data.sqlite import SqliteClient
from host.data.wall_parts import Gap, Link, links, tenant_models, wall_name
from tenants.scoping import TenantModel


async def gaps(client: SqliteClient, models: Sequence[type[Model]]) -> list[Gap]:
    """Every trigger that is missing, altered, or left over from a table or column that is gone."""
    rows = await client.execute_query_dict(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'trigger')"
    )
    tables = {row["name"] for row in rows if row["type"] == "table"}
    standing = {row["name"]: row["sql"] for row in rows if row["type"] == "trigger" and row["name"].startswith("wall_")}
    found = [
        Gap(f"table {model._meta.db_table} does not exist: run the migrations")
        for model in models
        if model._meta.db_table not in tables
    ]
    wanted = {
        name: sql
        for model in tenant_models(models)
        if model._meta.db_table in tables
        for name, sql in _triggers(model).items()
    }
    for name, sql in wanted.items():
        if name not in standing:
            found.append(Gap(f"the trigger {name} is missing", sql))
        elif standing[name] != sql:
            found.append(Gap(f"the trigger {name} was altered", f'DROP TRIGGER "{name}"'))
            found.append(Gap(f"the trigger {name} is put up anew", sql))
    return found


async def lower(client: SqliteClient) -> None:
    """Take the triggers away: a table cannot be rebuilt while a trigger of another names it."""
    rows = await client.execute_query_dict("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for row in rows:
        if row["name"].startswith("wall_"):
            await client.execute_query(f'DROP TRIGGER "{row["name"]}"')


def _triggers(model: type[TenantModel]) -> dict[str, str]:
    table = model._meta.db_table
    fixed = wall_name(table, "tenant")
    wanted = {
        fixed: f'CREATE TRIGGER "{fixed}" BEFORE UPDATE OF tenant_id ON "{table}" '
        "WHEN NEW.tenant_id IS NOT OLD.tenant_id "
        f"BEGIN SELECT RAISE(ABORT, 'wall between tenants: a row of {table} cannot change its tenant'); END"
    }
    for link in links(model):
        wanted |= _link_triggers(link)
    return wanted


def _link_triggers(link: Link) -> dict[str, str]:
    wanted = {}
    for when, event in (("insert", "INSERT"), ("update", f'UPDATE OF "{link.column}"')):
        name = wall_name(link.table, link.column, when)
        wanted[name] = (
            f'CREATE TRIGGER "{name}" BEFORE {event} ON "{link.table}" '
            f'WHEN EXISTS (SELECT 1 FROM "{link.parent}" WHERE "{link.parent_column}" = NEW."{link.column}" '
            "AND tenant_id IS NOT NEW.tenant_id) "
            f"BEGIN SELECT RAISE(ABORT, 'wall between tenants: {link.table}.{link.column} "
            f"links to another tenant''s row of {link.parent}'); END"
        )
    return wanted
