"""Claims: the SQL with which a worker takes due jobs, so that tenants take turns and nobody gets what another has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient

NOBODY = UUID(int=0)
"""Whose turn it was when it was no tenant's."""

PROMPT, LAST = 0, 32767
"""Jobs of a priority above PROMPT can wait: they never have all places of a worker. LAST: the largest there is."""

_TAKE = """
UPDATE "jobs" SET "state" = 'running', "worker" = $1, "lease_until" = $2, "started_at" = $3, "attempts" = "attempts" + 1
WHERE {which} AND "state" = 'queued' RETURNING *
"""
_BEST = """
SELECT "id" FROM "jobs" WHERE "state" = 'queued' AND "priority" = (
    SELECT "priority" FROM "jobs" WHERE "state" = 'queued' AND "priority" <= $6 ORDER BY "priority" LIMIT 1
)
"""
# Among the tenants with due jobs of the best priority: the next one after $4, jobs of no tenant, the first one; and
# when others have all of these in their hands, whatever is left. $5 is NOBODY, $6 the last priority that is looked at.
_NEXT = """"id" = COALESCE(
    ({best} AND "tenant_id" > $4 ORDER BY "tenant_id", "run_at" LIMIT 1 {lock}),
    ({best} AND "tenant_id" IS NULL ORDER BY "run_at" LIMIT 1 {lock}),
    ({best} AND "tenant_id" > $5 ORDER BY "tenant_id", "run_at" LIMIT 1 {lock}),
    (SELECT "id" FROM "jobs" WHERE "state" = 'queued' AND "priority" <= $6 ORDER BY "priority" LIMIT 1 {lock})
)"""
_ALIKE = """"id" {among}
    SELECT "id" FROM "jobs" WHERE "state" = 'queued' AND "priority" = $4 AND "tenant_id" = $5 AND "task" = $6
    ORDER BY "run_at" LIMIT $7 {lock}
{end}"""
# PostgreSQL makes an array once; what stands behind IN its planner may run several times, each time with other rows.
# SQLite has one writer at a time: nothing to lock.
_SPOKEN = {
    "postgres": {"among": "= ANY(ARRAY(", "end": "))", "lock": "FOR UPDATE SKIP LOCKED", "mark": "$"},
    "sqlite": {"among": "IN (", "end": ")", "lock": "", "mark": "?"},
}


def _in(dialect: str, which: str) -> str:
    words = _SPOKEN[dialect]
    return _TAKE.format(which=which.format(best=_BEST, **words)).replace("$", words["mark"])


_STATEMENTS = {(dialect, which): _in(dialect, which) for dialect in _SPOKEN for which in (_NEXT, _ALIKE)}


async def take_next(  # noqa: PLR0917 - the columns of one key, in its order
    client: BaseDBAsyncClient, worker: str, lease_until: datetime, now: datetime, after: UUID, last: int
) -> list[dict[str, Any]]:
    """The row of the next job, taken, or none. after: whose turn it was; last: the last priority that may be taken."""
    return await _run(client, _NEXT, (worker, lease_until, now, after, NOBODY, last))


async def take_alike(  # noqa: PLR0917 - the columns of one key, in its order
    client: BaseDBAsyncClient,
    worker: str,
    lease_until: datetime,
    now: datetime,
    priority: int,
    tenant_id: UUID,
    task: str,
    most: int,
) -> list[dict[str, Any]]:
    """The rows of up to `most` due jobs of one task, tenant and priority, taken."""
    return await _run(client, _ALIKE, (worker, lease_until, now, priority, tenant_id, task, most))


async def _run(client: BaseDBAsyncClient, which: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    dialect = client.capabilities.dialect
    given = list(values) if dialect == "postgres" else [_as_stored(value) for value in values]
    return list(await client.execute_query_dict(_STATEMENTS[dialect, which], given))


def _as_stored(value: object) -> object:
    """A value as SQLite has it."""
    match value:
        case datetime():
            return value.isoformat(" ")
        case UUID():
            return str(value)
    return value
