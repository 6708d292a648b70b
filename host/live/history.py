"""The messages that Redis keeps of a live channel: append one, and read those after a position.

A position is the id of a message in its Redis stream. Ids are made of the server's time and begin with a random number
in each new stream, so one that was lost, as Redis was emptied or failed over, is never given to another message. A
position can be continued from as long as its message is kept: one that was trimmed, has expired, is of another stream
or from the future is not found.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from host.cache.client import RedisClient
from host.cache.script import Script

BATCH = 100
"""Most messages that are read at once."""

_POSITION = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_LARGEST = 2**64

# The id of the next message: chosen by the server, but for the first one of a stream.
_NEXT = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local before, next = last[1] and last[1][1] or '', '*'
if before == '' then
  local time = redis.call('TIME')
  next = string.format('%d-%d', time[1] * 1000 + (time[2] - time[2] % 1000) / 1000, ARGV[1])
end
"""

# KEYS: the stream. ARGV: a random number, messages kept, milliseconds kept, event, data.
# The notice names the message before: whoever heard another one last has missed something.
_APPEND = Script(
    _NEXT
    + """
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], next, 'e', ARGV[4], 'd', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', KEYS[1], before .. ' ' .. id .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
return id
"""
)

# KEYS: the stream. ARGV: a random number, position, messages at most, milliseconds kept.
# An empty stream gets an entry without a message, so that there is a position from which nothing was missed.
_READ = Script(
    """
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[2] ~= '' then
  local found = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3] + 1)
  if found[1] and found[1][1] == ARGV[2] then
    return {1, ARGV[2], found}
  end
end
"""
    + _NEXT
    + """
if before == '' then
  before = redis.call('XADD', KEYS[1], next, 'e', '', 'd', '')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return {0, before, {}}
"""
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as it is kept: its id, the name of its event (empty for none) and its data as JSON."""

    id: str
    event: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Replay:
    """What is kept after a position; where that is not known, `recovered` is False and `position` the newest."""

    recovered: bool
    position: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Notice:
    """What followers are sent of a new message; `before` is the id of the one before it, empty for none."""

    before: str
    entry: Entry


async def append(redis_client: RedisClient, stream: str, keep: tuple[int, float], event: str, data: bytes) -> str:
    """Keep a message and notify followers; returns its id. keep: how many messages, and for how many seconds.

    Raises:
        Unavailable: Redis cannot be reached.
    """
    messages, seconds = keep
    id_: bytes = await _APPEND.run(redis_client, [stream], [_random(), messages, round(seconds * 1000), event, data])
    return id_.decode()


async def replay(redis_client: RedisClient, stream: str, seconds: float, position: str) -> Replay:
    """What is kept after a position, `BATCH` messages at most, kept for `seconds` from now on.

    Raises:
        Unavailable: Redis cannot be reached.
    """
    known = position if _is_position(position) else ""
    arguments: list[int | str] = [_random(), known, BATCH, round(seconds * 1000)]
    recovered, newest, rows = await _READ.run(redis_client, [stream], arguments)
    entries = [Entry(id_.decode(), fields[1].decode(), fields[3]) for id_, fields in rows[1:]]
    return Replay(bool(recovered), newest.decode(), entries)


def notice(payload: bytes) -> Notice:
    """The notice that `append` sent."""
    before, id_, event, data = payload.split(b" ", 3)
    return Notice(before.decode(), Entry(id_.decode(), event.decode(), data))


def _random() -> int:
    return secrets.randbelow(2**31)


def _is_position(text: str) -> bool:
    if not _POSITION.fullmatch(text):
        return False
    time, _, number = text.partition("-")
    return int(time) < _LARGEST and int(number) < _LARGEST
