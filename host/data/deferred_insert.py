"""Insert rows of any tenant model along with the current transaction, and skip those that conflict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from tortoise.models import Model

from host.data.database import bound
from host.data.sql_builder import InsertPlan, SqlBuilder
from host.data.statement import Insert
from tenants.context import current_or_none

_FEW = 3  # more rows are a statement of their own, and each row count would be another statement to prepare


async def insert_new(rows: Sequence[Model]) -> None:
    """Insert rows of one model; a row that conflicts with an existing one is skipped.

    In a unit of work on PostgreSQL, a few rows of the bound tenant are sent with its other rows, without a round trip.
    """
    model, database, tenant = type(rows[0]), bound(), current_or_none()
    few = len(rows) <= _FEW and tenant is not None and all(getattr(row, "tenant_id", None) == tenant for row in rows)
    if not (few and database.dialect == "postgres" and database.in_transaction):
        await model.bulk_create(rows, ignore_conflicts=True)
        return
    plan, now = _insert_plan(model), datetime.now(UTC)
    for row in rows:
        values = [column.encode(getattr(row, column.name)) for column in plan.given]
        values += [column.encode(column.default(now)) for column in plan.default]
        await database.client.insert_later(Insert(plan.insert, (tenant, *values)))


@lru_cache
def _insert_plan(model: type[Model]) -> InsertPlan:
    builder = SqlBuilder(model, "postgres", ("id",))
    names = [name for name, column in builder.columns.items() if not getattr(column.field, "auto_now_add", False)]
    return builder.form(tuple(name for name in names if name != "tenant_id"), pass_over=True)
