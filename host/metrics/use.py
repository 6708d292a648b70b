"""Collect each tenant's daily use in Redis until a consumer has stored it, and rank tenants by their requests.

Each batch that a process sends has a number, so that one whose answer was lost is not added twice when sent again.

Keys: `t:<tenant>:host:use` holds the use, `m:rank:<day>` how many requests each tenant made, `m:top` the most active
ones, `m:batch:<process>` the number of the last batch.

It is taken as a batch that stays in Redis until it is settled: a consumer that dies in between, or runs twice, gets the
same batch with the same number again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import orjson

from host.cache.client import RedisClient
from host.cache.script import Script
from host.contracts import DURATIONS, DayOfUse, TakenUse
from host.instruments import TOP, TenantUse

# ARGV[1]: the batch as JSON; answers with the most active tenants.
_ADD = Script(
    f"local TOP = {TOP}\n"
    + """
local batch = cjson.decode(ARGV[1])
local rank, done = 'm:rank:' .. batch.today, 'm:batch:' .. batch.process
if tonumber(redis.call('GET', done) or '0') < batch.number then
  redis.call('SET', done, batch.number, 'EX', 86400)
  for _, each in ipairs(batch.rank) do redis.call('ZINCRBY', rank, each[2], each[1]) end
  redis.call('EXPIRE', rank, 172800)
  for _, use in ipairs(batch.use) do
    for _, each in ipairs(use[2]) do redis.call('HINCRBYFLOAT', use[1], each[1], each[2]) end
    redis.call('EXPIRE', use[1], 2592000)
  end
end
if redis.call('ZCARD', 'm:top') < TOP or redis.call('SET', 'm:top:fresh', '', 'NX', 'EX', 60) then
  redis.call('ZUNIONSTORE', 'm:top', 2, rank, 'm:rank:' .. batch.yesterday)
  redis.call('ZREMRANGEBYRANK', 'm:top', 0, -TOP - 1)
end
return redis.call('ZRANGE', 'm:top', 0, -1)
"""
)

# KEYS: the hash being gathered, the hash being taken. ARGV: an id for the batch.
_TAKE = Script("""
if redis.call('EXISTS', KEYS[2]) == 0 then
  if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], 'batch', ARGV[1])
end
return redis.call('HGETALL', KEYS[2])
""")
_SETTLE = Script("if redis.call('HGET', KEYS[1], 'batch') == ARGV[1] then redis.call('DEL', KEYS[1]) end")


def gathered_key(tenant_id: UUID) -> str:
    """The Redis key of a tenant's use; one of the tenant's own keys, so it is deleted when the tenant is purged."""
    return f"t:{tenant_id}:host:use"


async def add(redis_client: RedisClient, batch: Mapping[str, Any]) -> set[str]:
    """Add a batch, unless one with its number was added already; returns the slugs of the most active tenants.

    Raises:
        Unavailable: Redis is away; whether the batch was added is not known, so send the same one again.
    """
    return {slug.decode() for slug in await _ADD.run(redis_client, [], [orjson.dumps(batch)])}


def fields(day: date, use: TenantUse) -> list[tuple[str, float]]:
    """One day's use as (field, number) pairs of the Redis hash."""
    named = {**use.outcomes, "seconds": use.seconds, **{f"le{bucket}": n for bucket, n in enumerate(use.counts)}}
    return [(f"{day.isoformat()} {name}", number) for name, number in named.items() if number]


@asynccontextmanager
async def taken(redis_client: RedisClient, tenant_id: UUID) -> AsyncIterator[TakenUse]:
    """Yield the tenant's use since it was last taken; deleted if the block ends without error, else kept for the next.

    Raises:
        Unavailable: Redis is away.
    """
    gathered = gathered_key(tenant_id)
    flat = await _TAKE.run(redis_client, [gathered, f"{gathered}:taken"], [str(uuid4())])
    values = {field.decode(): value.decode() for field, value in zip(flat[::2], flat[1::2], strict=True)}
    batch = values.pop("batch", "")
    yield TakenUse(batch, tuple(_days(values)))
    if batch:
        await _SETTLE.run(redis_client, [f"{gathered}:taken"], [batch])


def _days(values: dict[str, str]) -> list[DayOfUse]:
    by_day: dict[str, dict[str, str]] = {}
    for field, value in values.items():
        day, _, name = field.partition(" ")
        by_day.setdefault(day, {})[name] = value
    return [
        DayOfUse(
            day=date.fromisoformat(day),
            succeeded=_whole(use.get("succeeded")),
            refused=_whole(use.get("refused")),
            failed=_whole(use.get("failed")),
            seconds=float(use.get("seconds", 0)),
            counts=tuple(_whole(use.get(f"le{bucket}")) for bucket in range(len(DURATIONS) + 1)),
        )
        for day, use in sorted(by_day.items())
    ]


def _whole(text: str | None) -> int:
    return int(float(text or 0))
