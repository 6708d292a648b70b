"""Check and install SQLite triggers that refuse a link to another tenant's row or a change of tenant."""

# ruff: noqa: S608 - every name in this SQL is a model's own

from __future__ import annotations

from collections.abc import Sequence

from tortoise.models import Model

from host.data.rls_parts import Finding, Link, constraint_name, existing_parts
from host.data.sqlite import SqliteClient
from tenants.scoped_tables import TENANT


async def findings(client: SqliteClient, models: Sequence[type[Model]]) -> list[Finding]:
    """Every trigger that is missing, altered, or left over from a table or column that is gone."""
    rows = await client.execute_query_dict("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    installed = {row["name"]: row["sql"] for row in rows if row["name"].startswith("isolation_")}
    columns = await client.execute_query_dict(
        "SELECT t.name AS \"table\", c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
    )
    present = {(row["table"], row["name"]) for row in columns}
    gaps, _, links = existing_parts(models, present)
    # From the catalogue, not the models: tables of plugins that are not loaded now are isolated too.
    isolated = sorted(table for table, column in present if column == TENANT)
    expected = {name: sql for table in isolated for name, sql in _fixed_trigger(table).items()}
    for link in links:
        expected |= _link_triggers(link)
    for name, sql in expected.items():
        if name not in installed:
            gaps.append(Finding(f"the trigger {name} is missing", sql))
        elif installed[name] != sql:
            gaps.append(Finding(f"the trigger {name} was altered", f'DROP TRIGGER "{name}"'))
            gaps.append(Finding(f"the trigger {name} is created again", sql))
    return gaps


async def lower(client: SqliteClient) -> None:
    """Drop the triggers: a table cannot be rebuilt while a trigger of another table names it."""
    rows = await client.execute_query_dict("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for row in rows:
        if row["name"].startswith("isolation_"):
            await client.execute_query(f'DROP TRIGGER "{row["name"]}"')


def _fixed_trigger(table: str) -> dict[str, str]:
    name = constraint_name(table, "tenant")
    return {
        name: f'CREATE TRIGGER "{name}" BEFORE UPDATE OF tenant_id ON "{table}" '
        "WHEN NEW.tenant_id IS NOT OLD.tenant_id "
        f"BEGIN SELECT RAISE(ABORT, 'tenant isolation: a row of {table} cannot change its tenant'); END"
    }


def _link_triggers(link: Link) -> dict[str, str]:
    triggers = {}
    for when, event in (("insert", "INSERT"), ("update", f'UPDATE OF "{link.column}"')):
        name = constraint_name(link.table, link.column, when)
        triggers[name] = (
            f'CREATE TRIGGER "{name}" BEFORE {event} ON "{link.table}" '
            f'WHEN EXISTS (SELECT 1 FROM "{link.parent}" WHERE "{link.parent_column}" = NEW."{link.column}" '
            "AND tenant_id IS NOT NEW.tenant_id) "
            f"BEGIN SELECT RAISE(ABORT, 'tenant isolation: {link.table}.{link.column} "
            f"links to another tenant''s row of {link.parent}'); END"
        )
    return triggers
