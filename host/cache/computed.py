"""Keep computed values in Redis until they expire or a tag is dropped, each computed by one process at a time."""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from secrets import token_bytes
from typing import Any

import orjson

from host.cache.client import RedisClient
from host.errors import Unavailable

LONGEST = 86_400.0
"""Seconds that a value may be kept at most, stale ones included; tags live longer, so that a drop is not forgotten."""

LARGEST = 1_000_000
"""Bytes of JSON that are kept at most; a larger value is computed each time."""

TAG_SECONDS = 2 * LONGEST

_LOCK_SECONDS = 30.0  # after that another process computes as well
_FIRST_LOOK, _LAST_LOOK = 0.01, 0.25  # seconds between two looks for a value that another process computes
_HEAD = struct.Struct("!16sd")  # fingerprint of the tags, and until when the value is fresh (seconds since 1970)
_FREE = b"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_log = logging.getLogger("host.cache")

Make = Callable[[], Awaitable[object]]


Command = tuple[str | bytes | int, ...]


def tag_command(key: str) -> Command:
    """The Redis command that drops a tag: every value with it is computed anew."""
    return ("SET", key, token_bytes(8), "EX", int(TAG_SECONDS))


def plain(value: object) -> Any:
    """The value as it comes back from the cache: lists, dicts, texts, numbers, booleans and None.

    Raises:
        TypeError: it cannot be written as JSON.
    """
    return orjson.loads(_dumps(value))


@dataclass(frozen=True, slots=True)
class _Terms:
    """How a value is kept that is being computed, and the lock under which it is."""

    fingerprint: bytes
    ttl: float
    stale: float
    lock: bytes


class ComputedValues:
    """Computed values of one application. Without Redis each is computed where it is asked for."""

    def __init__(self, redis_client: RedisClient, *, most_local: int = 1000) -> None:
        """most_local: how many values are also kept in this process."""
        self._redis_client, self._most_local = redis_client, most_local
        self._local: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._flights: dict[str, asyncio.Task[bytes]] = {}

    async def get(
        self, key: str, make: Make, *, tags: Sequence[str] = (), ttl: float, stale: float = 0.0, local: float = 0.0
    ) -> Any:
        """The value under `key`, else what `make` returns; tags: keys of tags.

        ttl: seconds it is fresh. stale: seconds after that in which the old value is returned while one caller computes
        the next. local: seconds for which this process answers without looking at Redis, dropped tags included.

        Raises:
            ValueError: the times are not above 0, or longer than `LONGEST`. TypeError: the value is not JSON.
        """
        if ttl <= 0 or stale < 0 or local < 0 or ttl + stale > LONGEST:
            raise ValueError(f"ttl must be above 0, and ttl and stale together at most {LONGEST:g} seconds")
        kept = self._local.get(key)
        if kept is not None and kept[0] > time.monotonic():
            self._local.move_to_end(key)
            return orjson.loads(kept[1])
        flight = self._flights.get(key)
        if flight is None:
            flight = self._fly(key, self._value(key, make, tags, ttl, stale))
        value = await asyncio.shield(flight)  # the others go on waiting when this caller is cancelled
        if local:
            self._keep(key, value, local)
        return orjson.loads(value)

    async def close(self) -> None:
        """Stop computing."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _fly(self, key: str, work: Any) -> asyncio.Task[bytes]:
        flight: asyncio.Task[bytes] = asyncio.create_task(work, name=f"computing {key}")
        self._flights[key] = flight

        def landed(_: asyncio.Task[bytes]) -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if not flight.cancelled():
                flight.exception()  # seen, even if every caller has left

        flight.add_done_callback(landed)
        return flight

    def _keep(self, key: str, value: bytes, seconds: float) -> None:
        self._local[key] = time.monotonic() + seconds, value
        self._local.move_to_end(key)
        if len(self._local) > self._most_local:
            self._local.popitem(last=False)

    async def _value(self, key: str, make: Make, tags: Sequence[str], ttl: float, stale: float) -> bytes:
        try:
            fingerprint, kept, fresh = await self._look(key, tags)
            if kept is not None and fresh:
                return kept
            lock = token_bytes(8)
            mine = await self._lock(key, lock)
            if kept is not None:
                if mine:
                    self._fly(f"{key} anew", self._compute(key, make, _Terms(fingerprint, ttl, stale, lock)))
                return kept
            wait = _FIRST_LOOK
            while not mine:
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, _LAST_LOOK)
                fingerprint, kept, _ = await self._look(key, tags)
                if kept is not None:
                    return kept
                mine = await self._lock(key, lock)
        except Unavailable:
            return _dumps(await make())
        return await self._compute(key, make, _Terms(fingerprint, ttl, stale, lock))

    async def _compute(self, key: str, make: Make, terms: _Terms) -> bytes:
        """Compute and store; what is stored carries the tags as they were before, so a drop meanwhile outdates it."""
        try:
            value = _dumps(await make())
            if len(value) <= LARGEST:
                head = _HEAD.pack(terms.fingerprint, time.time() + terms.ttl)
                await self._told("SET", key, head + value, "PX", max(1, round((terms.ttl + terms.stale) * 1000)))
            else:
                _log.warning("a value of %d bytes is too large to be cached: %s", len(value), key)
            return value
        finally:
            await self._told("EVAL", _FREE, 1, f"{key}:lock", terms.lock)

    async def _look(self, key: str, tags: Sequence[str]) -> tuple[bytes, bytes | None, bool]:
        """The tags' fingerprint now, the value with this fingerprint if there is one, and whether it is fresh."""
        stored, *tokens = await self._redis_client.call("MGET", key, *tags)
        fingerprint = blake2b(b"\0".join(token or b"-" for token in tokens), digest_size=16).digest()
        if stored is None or len(stored) < _HEAD.size:
            return fingerprint, None, False
        stored_fingerprint, fresh_until = _HEAD.unpack_from(stored)
        if stored_fingerprint != fingerprint:
            return fingerprint, None, False
        return fingerprint, bytes(stored[_HEAD.size :]), time.time() < fresh_until

    async def _lock(self, key: str, lock: bytes) -> bool:
        seconds = round(_LOCK_SECONDS * 1000)
        return await self._redis_client.call("SET", f"{key}:lock", lock, "PX", seconds, "NX") is not None

    async def _told(self, *command: Any) -> None:
        """Send a command that may get lost."""
        try:
            await self._redis_client.call(*command)
        except Unavailable as error:
            _log.warning("a computed value could not be kept: %s", error)


def _dumps(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)
