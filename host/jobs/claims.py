"""The SQL with which workers claim due jobs: by priority, tenants in turn, no job claimed twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient

NOBODY = UUID(int=0)
"""Used as the tenant served last where the last job belonged to no tenant."""

URGENT, PROMPT, LAST = -1, 0, 32767
"""Priorities. Jobs up to URGENT may use every place of a worker; one place is kept free of jobs above PROMPT, and in a
large worker one more of all others (see `Runner`). LAST: the largest priority there is."""

_TAKE = """
UPDATE "jobs" SET "state" = 'running', "worker" = $1, "lease_until" = $2, "started_at" = $3, "attempts" = "attempts" + 1
WHERE {which} AND "state" = 'queued' RETURNING *
"""
_DUE = """"jobs" WHERE "state" = 'queued' AND "channel" = $7"""
_BEST = """
SELECT "id" FROM {due} AND "priority" = (
    SELECT "priority" FROM {due} AND "priority" <= $6 ORDER BY "priority" LIMIT 1
)
"""
# Among the tenants with due jobs of the best priority in channel $7: the next one after $4, jobs of no tenant, the
# first one; and when other workers hold locks on all of these, whatever is left. $5 is NOBODY, $6 the last priority
# that is looked at.
# A select of its own around COALESCE: behind row-level security PostgreSQL looks an id up in its index only where
# nothing in the comparison can give a hidden row away, and it takes COALESCE itself for something that could.
_NEXT = """"id" = (SELECT COALESCE(
    ({best} AND "tenant_id" > $4 ORDER BY "tenant_id", "run_at" LIMIT 1 {lock}),
    ({best} AND "tenant_id" IS NULL ORDER BY "run_at" LIMIT 1 {lock}),
    ({best} AND "tenant_id" > $5 ORDER BY "tenant_id", "run_at" LIMIT 1 {lock}),
    (SELECT "id" FROM {due} AND "priority" <= $6 ORDER BY "priority" LIMIT 1 {lock})
))"""
_ALIKE = """"id" {among}
    SELECT "id" FROM {due} AND "priority" = $4 AND "tenant_id" = $5 AND "task" = $6
    ORDER BY "run_at" LIMIT $8 {lock}
{end}"""
# Each channel with due jobs, by one index look-up per channel; the jobs themselves are not read.
_CHANNELS = """
WITH RECURSIVE "found"("channel") AS (
    SELECT MIN("channel") FROM "jobs" WHERE "state" = 'queued'
    UNION ALL
    SELECT (SELECT MIN("channel") FROM "jobs" WHERE "state" = 'queued' AND "channel" > "found"."channel")
    FROM "found" WHERE "found"."channel" IS NOT NULL
)
SELECT "channel" FROM "found" WHERE "channel" IS NOT NULL
"""
# PostgreSQL makes an array once; its planner may run what follows IN several times, each time with other rows.
# SQLite has one writer at a time: nothing to lock.
_DIALECTS = {
    "postgres": {"among": "= ANY(ARRAY(", "end": "))", "lock": "FOR UPDATE SKIP LOCKED", "mark": "$"},
    "sqlite": {"among": "IN (", "end": ")", "lock": "", "mark": "?"},
}


def _in(dialect: str, which: str) -> str:
    words = _DIALECTS[dialect]
    return _TAKE.format(which=which.format(best=_BEST.format(due=_DUE), due=_DUE, **words)).replace("$", words["mark"])


_STATEMENTS = {(dialect, which): _in(dialect, which) for dialect in _DIALECTS for which in (_NEXT, _ALIKE)}


async def take_next(  # noqa: PLR0917 - the columns of one key, in its order
    client: BaseDBAsyncClient, worker: str, lease_until: datetime, now: datetime, after: UUID, last: int, channel: str
) -> list[dict[str, Any]]:
    """Claim the next due job; its row, or none. after: the tenant served last. last: the last priority taken."""
    return await _run(client, _NEXT, (worker, lease_until, now, after, NOBODY, last, channel))


async def channels_due(client: BaseDBAsyncClient) -> list[str]:
    """The channels in which jobs are due."""
    return [row["channel"] for row in await client.execute_query_dict(_CHANNELS)]


async def take_alike(  # noqa: PLR0917 - the columns of one key, in its order
    client: BaseDBAsyncClient,
    worker: str,
    lease_until: datetime,
    now: datetime,
    priority: int,
    tenant_id: UUID,
    task: str,
    channel: str,
    most: int,
) -> list[dict[str, Any]]:
    """Claim up to `most` due jobs of one task, tenant, priority and channel, and return their rows."""
    return await _run(client, _ALIKE, (worker, lease_until, now, priority, tenant_id, task, channel, most))


async def _run(client: BaseDBAsyncClient, which: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    dialect = client.capabilities.dialect
    parameters = list(values) if dialect == "postgres" else [_as_stored(value) for value in values]
    return list(await client.execute_query_dict(_STATEMENTS[dialect, which], parameters))


def _as_stored(value: object) -> object:
    """A value as SQLite stores it: times and UUIDs as text."""
    match value:
        case datetime():
            return value.isoformat(" ")
        case UUID():
            return str(value)
    return value
