"""Add up counters, histograms and gauges of all processes in Redis with one script call per batch.

prometheus-client's multiprocess mode shares files on one machine; this covers every process that uses the same Redis.
Each batch has a number, so that one whose answer was lost is not added twice when it is sent again. If Redis is
emptied, every counter starts at 0 again, which Prometheus handles.

Keys: `m:<metric>:<checksum of its declaration>` holds a series' value (of a histogram: the sum) by label values, with
`:le` after it how many values are in each bucket; `m:levels` the gauges of each process, `m:seen` when it sent them;
`m:rank:<day>` how many requests each tenant made, `m:top` the most active ones, which have series of their own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from host.cache.client import RedisClient
from host.cache.script import Script
from host.contracts import Measured, Metric, Series
from host.instruments import REST, TENANT, Labels

TOP = 20
"""How many tenants have series of their own."""

SILENT = 30
"""Seconds without a batch after which a process counts as gone and its gauges are dropped."""

_BETWEEN = "\x1f"  # the label values of a series; ASCII's own unit separator

_LIMITS = f"local TOP, SILENT, REST = {TOP}, {SILENT}, '{REST}'\n"

# ARGV[1]: the batch as JSON.
_ADD = Script(
    _LIMITS
    + r"""
local batch = cjson.decode(ARGV[1])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', 'm:seen', now, batch.process)
redis.call('HSET', 'm:levels', batch.process, batch.levels)
local done = 'm:batch:' .. batch.process
if tonumber(redis.call('GET', done) or '0') >= batch.number then return 0 end
redis.call('SET', done, batch.number, 'EX', 86400)

local rank = 'm:rank:' .. batch.today
for _, each in ipairs(batch.rank) do redis.call('ZINCRBY', rank, each[2], each[1]) end
if #batch.rank > 0 then redis.call('EXPIRE', rank, 172800) end
if redis.call('ZCARD', 'm:top') < TOP or redis.call('SET', 'm:top:fresh', '', 'NX', 'EX', 60) then
  redis.call('ZUNIONSTORE', 'm:top', 2, rank, 'm:rank:' .. batch.yesterday)
  redis.call('ZREMRANGEBYRANK', 'm:top', 0, -TOP - 1)
end

local function place(metric, labels)
  local tenant = labels[metric.tenant]
  if tenant and not redis.call('ZSCORE', 'm:top', tenant) then labels[metric.tenant] = REST end
  local field = table.concat(labels, '\31')
  if redis.call('HEXISTS', metric.key, field) == 0 and redis.call('HLEN', metric.key) >= metric.most then
    for index = 1, #labels do labels[index] = REST end
    field = table.concat(labels, '\31')
  end
  return field
end
for _, metric in ipairs(batch.moved) do
  for _, series in ipairs(metric.series) do
    local field = place(metric, series[1])
    redis.call('HINCRBYFLOAT', metric.key, field, series[2])
    for _, bucket in ipairs(series[3] or {}) do
      redis.call('HINCRBY', metric.key .. ':le', field .. '\30' .. bucket[1], bucket[2])
    end
  end
  redis.call('EXPIRE', metric.key, 2592000)
  redis.call('EXPIRE', metric.key .. ':le', 2592000)
end

for _, use in ipairs(batch.use) do
  for _, each in ipairs(use[2]) do redis.call('HINCRBYFLOAT', use[1], each[1], each[2]) end
  redis.call('EXPIRE', use[1], 2592000)
end
return 1
"""
)

# ARGV: the metrics' keys.
_READ = Script(
    _LIMITS
    + r"""
local gone = redis.call('ZRANGEBYSCORE', 'm:seen', '-inf', tonumber(redis.call('TIME')[1]) - SILENT)
for _, process in ipairs(gone) do
  redis.call('HDEL', 'm:levels', process)
  redis.call('ZREM', 'm:seen', process)
end
local found = {redis.call('HVALS', 'm:levels'), redis.call('ZRANGE', 'm:top', 0, -1)}
for _, key in ipairs(ARGV) do
  found[#found + 1] = redis.call('HGETALL', key)
  found[#found + 1] = redis.call('HGETALL', key .. ':le')
end
return found
"""
)


@dataclass(frozen=True, slots=True)
class Sums:
    """Counters and histograms summed over all processes, and the gauges of each running process."""

    measured: Sequence[Measured]
    levels: Sequence[Mapping[str, Any]]


async def add(redis_client: RedisClient, batch: Mapping[str, Any]) -> None:
    """Add a batch; one with a number that was added already is ignored.

    Raises:
        Unavailable: Redis is away; whether the batch was added is not known, so send the same one again.
    """
    await _ADD.run(redis_client, [], [orjson.dumps(batch)])


async def withdraw(redis_client: RedisClient, process: str) -> None:
    """Remove the gauges of a process that stops."""
    await redis_client.calls([("HDEL", "m:levels", process), ("ZREM", "m:seen", process)])


async def read(redis_client: RedisClient, metrics: Sequence[Metric]) -> Sums:
    """Read the totals of every counter and histogram in `metrics`, and the gauges of each process.

    Raises:
        Unavailable: Redis is away.
    """
    summed = [each for each in metrics if each.kind != "gauge"]
    levels, top, *replies = await _READ.run(redis_client, [], [key_of(each) for each in summed])
    shown_labels = {REST, *(name.decode() for name in top)}
    measured, deletions = [], []
    for metric, values, buckets in zip(summed, replies[::2], replies[1::2], strict=True):
        series = _series(metric, values, buckets)
        measured.append(Measured(metric, tuple(each for each in series if _is_shown(metric, each, shown_labels))))
        hidden = [_BETWEEN.join(each.labels) for each in series if not _is_shown(metric, each, shown_labels)]
        if hidden:
            deletions.append(("HDEL", key_of(metric), *hidden))
    if deletions:  # series of tenants that are no longer among the most active are deleted
        await redis_client.calls(deletions)
    return Sums(measured, [orjson.loads(text) for text in levels])


def key_of(metric: Metric) -> str:
    """The Redis key of a metric. It changes with the declaration, so that two releases do not mix their figures."""
    declared = repr((metric.kind, metric.labels, metric.buckets if metric.kind == "histogram" else ()))
    return f"m:{metric.name}:{zlib.crc32(declared.encode()):08x}"


def tenant_position(metric: Metric) -> int:
    """Which label is the tenant's, counted from 1; 0 for none."""
    return metric.labels.index(TENANT) + 1 if TENANT in metric.labels else 0


def _is_shown(metric: Metric, series: Series, shown: set[str]) -> bool:
    position = tenant_position(metric)
    return not position or series.labels[position - 1] in shown


def _series(metric: Metric, values: Sequence[bytes], buckets: Sequence[bytes]) -> list[Series]:
    counts: dict[str, list[int]] = {}
    for field, number in zip(buckets[::2], buckets[1::2], strict=True):
        series, _, bucket = field.decode().partition("\x1e")
        counts.setdefault(series, [0] * (len(metric.buckets) + 1))[int(bucket)] = int(number)
    sorted_series = []
    for field, number in sorted(zip(values[::2], values[1::2], strict=True)):
        name = field.decode()
        labels: Labels = tuple(name.split(_BETWEEN)) if metric.labels else ()
        sorted_series.append(Series(labels, float(number), tuple(counts.get(name, ()))))
    return sorted_series
