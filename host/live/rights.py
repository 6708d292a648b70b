"""Ask again whether open streams may go on, within a second after what they depend on has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from host.cache.client import RedisClient
from host.cache.versions import EPOCH_KEY, Versions, tenant_version_key, user_version_key
from host.errors import ApiError, Unavailable
from host.periodic import Periodic

EVERY = 0.3
"""Seconds between two looks at the version tokens."""

AGAIN_AFTER = 30.0
"""Seconds after which a stream is asked about without a change: tokens and keys expire, and plugins decide by time."""

_AT_ONCE = 50
_ANSWER_WITHIN = 5.0

_log = logging.getLogger("host.live")

Check = Callable[[], Awaitable[bool]]


@dataclass(eq=False, slots=True)
class Watched:
    """One open stream. ended: whether it has to end."""

    keys: tuple[str, ...]
    check: Check
    end: Callable[[], None]
    context: Context = field(default_factory=copy_context)
    versions: object = None  # none yet: it is asked about at the next look
    asked_at: float = 0.0
    asking: asyncio.Task[None] | None = None
    ended: bool = False

    def finish(self) -> None:
        """End the stream."""
        if not self.ended:
            self.ended = True
            self.end()


class RightsWatch:
    """Ends the streams of this process whose check says no; and all of them when the process stops.

    changes: a number that changes with what no version token covers, such as a plugin's quarantine.
    """

    def __init__(self, redis_client: RedisClient, versions: Versions, changes: Callable[[], int] = lambda: 0) -> None:
        self._redis_client, self._versions, self._changes = redis_client, versions, changes
        self._watched: set[Watched] = set()
        self._looking = Periodic(self._look, EVERY, _log, "open streams could not be asked about", at_once=False)
        self._draining = False
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    @contextmanager
    def watching(
        self, tenant_id: UUID | None, user_id: UUID | None, check: Check, end: Callable[[], None]
    ) -> Iterator[Watched]:
        """Watch a stream for the block.

        tenant_id, user_id: what it depends on. check: whether it may go on; asked soon, and again after each change, in
        the caller's context. An `ApiError` is a no, but while Redis or the database is away it is asked again later.
        end: called once it may not.
        """
        tenant = (tenant_version_key(tenant_id),) if tenant_id is not None else ()
        user = (user_version_key(user_id),) if user_id is not None else ()
        watched = Watched((*tenant, *user), check, end)
        if self._draining:
            watched.finish()
        self._watched.add(watched)
        try:
            yield watched
        finally:
            self._watched.discard(watched)
            if watched.asking is not None:
                watched.asking.cancel()

    def start(self) -> None:
        """Start looking."""
        self._looking.start()

    def drain(self) -> None:
        """End every stream, also those that are about to begin: this process stops."""
        self._draining = True
        for watched in tuple(self._watched):
            watched.finish()

    async def stop(self) -> None:
        """End every stream and stop looking."""
        self.drain()
        await self._looking.stop()

    async def _look(self) -> None:
        watched = [each for each in self._watched if not each.ended]
        if not watched:
            return
        keys = sorted({key for each in watched for key in each.keys})
        epoch, *tokens = await self._redis_client.call("MGET", EPOCH_KEY, *keys)
        now, versions = monotonic(), dict(zip(keys, await self._versions.read(epoch, tokens), strict=True))
        changes = self._changes()
        for each in watched:
            seen = (changes, *(versions[key] for key in each.keys))
            if (each.versions != seen or now - each.asked_at > AGAIN_AFTER) and each.asking is None:
                each.asking = asyncio.create_task(self._ask(each, seen), context=each.context.copy())

    async def _ask(self, watched: Watched, seen: Sequence[object]) -> None:
        try:
            async with self._at_once, asyncio.timeout(_ANSWER_WITHIN):
                allowed = await watched.check()
        except Unavailable as away:
            if type(away) is Unavailable:
                return
            allowed = False  # a plugin's quarantine, which is no passing fault
        except ApiError as refusal:
            allowed = False
            _log.debug("a stream ends: %s", refusal)
        except Exception:
            allowed = False
            _log.exception("a stream ends, because it could not be asked whether it may go on")
        finally:
            watched.asking = None
        watched.versions, watched.asked_at = seen, monotonic()
        if not allowed:
            watched.finish()
