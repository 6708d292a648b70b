"""Limit the rate of requests with counters in Redis, all checked and incremented in one round trip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from host.cache.client import RedisClient
from host.cache.script import Script

# KEYS: the buckets, then the version keys. ARGV: number of buckets, then limit, milliseconds and cost of each.
# Every bucket is checked before any is incremented: a refused use counts nowhere.
_TAKE = Script("""
local buckets = tonumber(ARGV[1])
local refused, tightest, left, reset = 0, 0, -1, 0
local used = {}
for i = 1, buckets do
  local limit, cost = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i + 1])
  used[i] = tonumber(redis.call('GET', KEYS[i]) or '0')
  if used[i] + cost > limit then
    refused, tightest, left = i, i, math.max(0, limit - used[i])
    reset = redis.call('PTTL', KEYS[i])
    if reset < 0 and used[i] > 0 then
      redis.call('PEXPIRE', KEYS[i], ARGV[3 * i])
    end
    if reset < 0 then reset = tonumber(ARGV[3 * i]) end
    break
  end
end
if refused == 0 then
  for i = 1, buckets do
    local limit, cost = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i + 1])
    local now = redis.call('INCRBY', KEYS[i], cost)
    local ttl = redis.call('PTTL', KEYS[i])
    if ttl < 0 then
      ttl = tonumber(ARGV[3 * i])
      redis.call('PEXPIRE', KEYS[i], ttl)
    end
    if left < 0 or limit - now < left then
      tightest, left, reset = i, limit - now, ttl
    end
  end
end
local versions = {}
if #KEYS > buckets then
  versions = redis.call('MGET', unpack(KEYS, buckets + 1))
end
return {refused, tightest, left, reset, versions}
""")


@dataclass(frozen=True, slots=True)
class Bucket:
    """`limit` uses within `seconds` of the first use; `cost` is how much this use counts."""

    key: str
    limit: int
    seconds: float
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of `Rates.take`.

    bucket: index of the full bucket, else of the one with the fewest uses left; None when there were no buckets.
    remaining, reset_seconds: of that bucket, the latter rounded up. versions: one per version key, None where
    Redis holds none.
    """

    allowed: bool
    bucket: int | None
    remaining: int
    reset_seconds: int
    versions: list[bytes | None]


class Rates:
    """Counts uses; exact under any number of processes, because Redis runs one script at a time."""

    def __init__(self, redis_client: RedisClient, *, prefix: str = "rate:") -> None:
        self._redis_client = redis_client
        self._prefix = prefix

    async def take(self, buckets: Sequence[Bucket], version_keys: Sequence[str] = ()) -> Taken:
        """Count one use in every bucket, or in none when one of them is full; read version keys in the same round trip.

        Raises:
            Unavailable: Redis cannot be reached.
        """
        keys = [self._prefix + bucket.key for bucket in buckets]
        arguments: list[int] = [len(buckets)]
        for bucket in buckets:
            arguments += (bucket.limit, max(1, round(bucket.seconds * 1000)), bucket.cost)
        refused, tightest, left, reset, versions = await _TAKE.run(
            self._redis_client, [*keys, *version_keys], arguments
        )
        return Taken(
            allowed=refused == 0,
            bucket=tightest - 1 if tightest else None,
            remaining=max(0, left),
            reset_seconds=math.ceil(reset / 1000),
            versions=versions,
        )

    async def peek(self, bucket: Bucket) -> int:
        """How many uses are counted in a bucket now, for people to read."""
        return int(await self._redis_client.call("GET", self._prefix + bucket.key) or 0)

    async def forget(self, *keys: str) -> None:
        """Empty buckets, such as the sign-in bucket after a password was reset."""
        if keys:
            await self._redis_client.call("DEL", *(self._prefix + key for key in keys))
