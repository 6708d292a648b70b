"""Fill in the sort keys of rows that are older than the sort-key column, in batches."""

# ruff: noqa: S608 - the names are the models' own

from __future__ import annotations

from collections.abc import Sequence

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.models import Model

from tenants.text import sort_key
from tenants.text_columns import sort_keys

_AT_ONCE = 1000


async def fill_sort_keys(client: BaseDBAsyncClient, models: Sequence[type[Model]]) -> None:
    """Fill every empty sort key; rows written since the column exists have none empty. Safe to repeat."""
    first, second = ("$1", "$2") if client.capabilities.dialect == "postgres" else ("?", "?")
    for model in models:
        table, columns = f'"{model._meta.db_table}"', model._meta.fields_db_projection
        for of, key in sort_keys(model).items():
            read = f'SELECT "id", "{columns[of]}" AS given FROM {table} WHERE "{columns[key]}" = \'\' LIMIT {_AT_ONCE}'
            write = f'UPDATE {table} SET "{columns[key]}" = {first} WHERE "id" = {second}'
            while rows := await client.execute_query_dict(read):
                await client.execute_many(write, [[sort_key(str(row["given"])), row["id"]] for row in rows])
