"""Change SQLite tables in migrations without losing indexes or unique constraints.

SQLite changes most things by copying a table into a new one. The ORM's editor loses what is not in a column's own
definition: unique constraints over several columns, indexes, a removed link's column. This one keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tortoise.fields.base import Field
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.migrations.schema_editor import SqliteSchemaEditor
from tortoise.models import Model

_Key = tuple[tuple[str, ...], bool]  # columns, whether unique


@dataclass(frozen=True, slots=True)
class _Index:
    name: str
    columns: tuple[str, ...]
    unique: bool
    sql: str | None  # None: made by a UNIQUE in the table's definition


class KeepingSchemaEditor(SqliteSchemaEditor):
    """The ORM's SQLite schema editor, with a `_remake_table` that restores indexes and constraints."""

    async def _run_sql(self, sql: str) -> None:
        if self.collect_sql:
            self.collected_sql.append(sql)
        else:
            await self.client.execute_script(sql)

    async def _remake_table(
        self,
        model: type[Model],
        create_field: Field[Any] | None = None,
        delete_field: Field[Any] | None = None,
        alter_fields: Sequence[tuple[Field[Any], Field[Any]]] | None = None,
        *,
        dropped: tuple[str, ...] = (),
    ) -> None:
        """dropped: columns of a unique constraint that is removed."""
        altered = list(alter_fields or ())
        before = await self._indexes(model._meta.db_table)
        all_fields = model._meta.fields_map
        if delete_field is not None:
            gone = {delete_field.model_field_name}
            if isinstance(delete_field, ForeignKeyFieldInstance):
                gone.add(str(delete_field.source_field))
            model._meta.fields_map = {name: field for name, field in all_fields.items() if name not in gone}
        try:
            await super()._remake_table(model, create_field, None, altered)
        finally:
            model._meta.fields_map = all_fields
        await self._restore(model, before, altered, dropped)

    async def _restore(
        self,
        model: type[Model],
        before: list[_Index],
        altered: list[tuple[Field[Any], Field[Any]]],
        dropped: tuple[str, ...],
    ) -> None:
        if self.collect_sql:
            return
        table = model._meta.db_table
        _, info = await self.client.execute_query(f'PRAGMA table_info("{table}")')
        columns = {row["name"] for row in info}
        present = {(index.columns, index.unique) for index in await self._indexes(table)}
        renamed = {_column(old): _column(new) for old, new in altered}
        unwanted: set[_Key] = {((_column(new),), True) for old, new in altered if old.unique and not new.unique}
        unwanted |= {((_column(new),), False) for old, new in altered if old.index and not new.index}
        unwanted.add((dropped, True))
        expected: dict[_Key, _Index | None] = {
            ((_column(new),), False): None for _, new in altered if new.index and not new.unique
        }
        expected |= {
            (tuple(renamed.get(name, name) for name in index.columns), index.unique): index for index in before
        }
        for (names, unique), index in expected.items():
            if (names, unique) in unwanted or (names, unique) in present or not columns.issuperset(names):
                continue
            if index is not None and index.sql is not None and names == index.columns:
                await self.client.execute_query(index.sql)
            else:
                kind, prefix = ("UNIQUE INDEX", "uid") if unique else ("INDEX", "idx")
                name = self._generate_index_name(prefix, model, list(names))
                over = ", ".join(f'"{each}"' for each in names)
                await self.client.execute_query(f'CREATE {kind} "{name}" ON "{table}" ({over})')

    async def _indexes(self, table: str) -> list[_Index]:
        if self.collect_sql:
            return []
        _, listed = await self.client.execute_query(f'PRAGMA index_list("{table}")')
        _, texts = await self.client.execute_query("SELECT name, sql FROM sqlite_master WHERE type = 'index'")
        sql = {row["name"]: row["sql"] for row in texts}
        indexes = []
        for row in listed:
            if row["origin"] != "pk":
                _, info = await self.client.execute_query(f'PRAGMA index_info("{row["name"]}")')
                names = tuple(str(each["name"]) for each in info)
                indexes.append(_Index(row["name"], names, bool(row["unique"]), sql.get(row["name"])))
        return indexes

    async def _get_unique_constraint_names_from_db(
        self, table_name: str, column_names: list[str], schema: str | None = None
    ) -> list[str]:
        columns = tuple(column_names)
        return [each.name for each in await self._indexes(table_name) if each.unique and each.columns == columns]

    async def remove_constraint(self, model: type[Model], constraint: Any) -> None:
        """Remove a constraint; one in the table's definition is removed by rebuilding the table."""
        names = tuple(self._resolve_fields_to_columns(model, getattr(constraint, "fields", ())))
        constraint_names = (
            await self._get_unique_constraint_names_from_db(model._meta.db_table, list(names)) if names else []
        )
        if constraint_names and constraint_names[0].startswith("sqlite_autoindex_"):
            await self._remake_table(model, dropped=names)
        else:
            await super().remove_constraint(model, constraint)

    @staticmethod
    def _default_to_sql_literal(value: Any) -> str:
        value = value() if callable(value) else value
        if isinstance(value, dict | list):
            value = json.dumps(value)
        if isinstance(value, str):
            value = value.replace("'", "''")
        return str(SqliteSchemaEditor._default_to_sql_literal(value))


def _column(field: Field[Any]) -> str:
    return str(field.source_field or field.model_field_name)
