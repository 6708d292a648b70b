"""The wake-up queue: a SAQ queue of messages without content, each saying that some job is due.

The job store holds the jobs; a message lost or sent twice changes nothing. So all of SAQ's trouble with lost,
orphaned and
aborted messages ends here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import redis.asyncio as redis_client
from redis.exceptions import RedisError
from saq.job import Status
from saq.queue.redis import RedisQueue
from saq.utils import millis, now
from saq.worker import Worker

from host.errors import Unavailable
from host.jobs.catalog import JobDraft

_log = logging.getLogger("host.jobs")
_FUNCTION = "due"
_WAIT_FOR_BELL = 2.0
_REST_WHEN_AWAY = 1.0
MESSAGES = 64
"""So many at once wake every worker there is; each then runs jobs until none is due."""


class _Queue(RedisQueue):
    """SAQ's queue, calm when Redis is away: SAQ itself would ask again at once, for ever, and log every second."""

    async def dequeue(self, timeout: float = 0.0, poll_interval: float = 0.0) -> Any:  # noqa: ASYNC109 - SAQ's name
        try:
            return await super().dequeue(timeout, poll_interval)
        except (RedisError, OSError) as error:
            _log.debug("no wake-up while Redis is away: %s", error)
            await asyncio.sleep(_REST_WHEN_AWAY)
            return None

    async def schedule(self, lock: int = 1) -> list[str]:
        return []  # no message of ours is for later

    async def sweep(self, lock: int = 60, abort: float = 5.0) -> list[str]:
        """Forget messages whose worker died: there is nothing in them to save."""
        client: Any = self.redis
        try:
            swept = [message for message in await client.lrange(self._active, 0, -1) if await self._dead(message)]
            for message in swept:
                async with client.pipeline(transaction=True) as pipe:
                    await pipe.lrem(self._active, 0, message).zrem(self._incomplete, message).delete(message).execute()
        except (RedisError, OSError):
            return []
        return [message.decode() for message in swept]

    async def write_worker_info(self, *args: Any, **kwargs: Any) -> None:
        return None  # SAQ's page is not served: it knows neither sign-in nor tenants

    async def _dead(self, message: bytes) -> bool:
        job = await self._get_job_by_id(message)
        if job is None or job.stuck or job.status not in (Status.NEW, Status.QUEUED, Status.ACTIVE):
            return True
        # taken, but never begun: its worker died in between, unless it was taken this moment
        return job.status is not Status.ACTIVE and now() - job.queued > millis(job.timeout)


class Wakeups:
    """Rings for the workers of every process on the same Redis."""

    def __init__(self, url: str, *, name: str = "jobs", timeout: float = 2.0, longest_task: float = 3600.0) -> None:
        """timeout: seconds a command may take. longest_task: seconds; a message held longer is taken for dead."""
        self._client = redis_client.from_url(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            socket_timeout=timeout + _WAIT_FOR_BELL,
            socket_connect_timeout=timeout,
        )
        self._queue = _Queue(self._client, name=name)
        self._message_timeout = int(longest_task) + 60
        self._timeout = timeout
        self._wanted = 0
        self._ringing: asyncio.Task[None] | None = None

    async def ring(self, times: int = 1) -> None:
        """Send messages for so many due jobs, or for as many as wake everybody.

        Raises:
            Unavailable: Redis is away.
        """
        try:
            async with asyncio.timeout(self._timeout + times * 0.01):
                await asyncio.gather(*(self._send() for _ in range(min(times, MESSAGES))))
        except (RedisError, OSError) as error:
            raise Unavailable("Redis is away: background work begins when it is back.") from error

    def ring_soon(self, times: int = 1) -> None:
        """Ring without making anybody wait for it; when it fails, the reconciler rings later."""
        self._wanted += times
        if times and (self._ringing is None or self._ringing.done()):
            self._ringing = asyncio.create_task(self._ring_wanted())

    async def push(self, drafts: Sequence[JobDraft]) -> None:
        """Ring for those of the stored jobs that are due."""
        now = datetime.now(UTC)
        self.ring_soon(sum(draft.run_at <= now for draft in drafts))

    async def waiting(self) -> int:
        """How many messages no worker has taken yet.

        Raises:
            Unavailable: Redis is away.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return int(await self._queue.count("queued"))
        except (RedisError, OSError) as error:
            raise Unavailable("Redis is away.") from error

    def worker(self, answer: Callable[[], Awaitable[object]], *, concurrency: int, name: str) -> Worker[Any]:
        """A SAQ worker that calls `answer` for each message, so many at once; leaves signals to the server."""

        async def due(_context: Any) -> None:
            await answer()

        worker: Worker[Any] = Worker(
            self._queue,
            functions=[(_FUNCTION, due)],
            id=name,
            concurrency=concurrency,
            dequeue_timeout=_WAIT_FOR_BELL,
            cancellation_hard_deadline_s=5.0,
        )
        worker.SIGNALS = []
        return worker

    async def close(self) -> None:
        """Send what is to be sent, and hang up."""
        if self._ringing is not None:
            await asyncio.gather(self._ringing, return_exceptions=True)
        # not queue.disconnect(): it talks to Redis once more, which may be away
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def _ring_wanted(self) -> None:
        while self._wanted:
            times, self._wanted = self._wanted, 0
            try:
                await self.ring(times)
            except Unavailable as error:
                _log.warning("the wake-up queue does not ring: %s", error)

    async def _send(self) -> None:
        await self._queue.enqueue(_FUNCTION, timeout=self._message_timeout, retries=1, ttl=-1)
