"""Wake workers over Redis when jobs are due: a SAQ queue of messages without content.

The job store holds the jobs; a message lost or sent twice changes nothing. So SAQ's handling of lost, orphaned and
aborted messages is not needed.
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
_WAIT_FOR_MESSAGE = 2.0
_REST_WHEN_AWAY = 1.0
MESSAGES = 64
"""Most messages sent at once: enough to wake every worker; each then runs jobs until none is due."""


class _Queue(RedisQueue):
    """SAQ's queue, with a pause while Redis is unavailable, where SAQ would retry at once and log each time."""

    async def dequeue(self, timeout: float = 0.0, poll_interval: float = 0.0) -> Any:  # noqa: ASYNC109 - SAQ's name
        try:
            return await super().dequeue(timeout, poll_interval)
        except (RedisError, OSError) as error:
            _log.debug("no wake-up while Redis is unavailable: %s", error)
            await asyncio.sleep(_REST_WHEN_AWAY)
            return None

    async def schedule(self, lock: int = 1) -> list[str]:
        return []  # no message here is sent for later

    async def sweep(self, lock: int = 60, abort: float = 5.0) -> list[str]:
        """Delete messages whose worker died; they have no content to save."""
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
    """Sends wake-ups to the workers of every process on the same Redis."""

    def __init__(self, url: str, *, name: str = "jobs", timeout: float = 2.0, longest_task: float = 3600.0) -> None:
        """timeout: seconds a command may take. longest_task: seconds; a message held longer counts as dead."""
        self._client = redis_client.from_url(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            socket_timeout=timeout + _WAIT_FOR_MESSAGE,
            socket_connect_timeout=timeout,
        )
        self._queue = _Queue(self._client, name=name)
        self._message_timeout = int(longest_task) + 60
        self._timeout = timeout
        self._pending = 0
        self._sending: asyncio.Task[None] | None = None

    async def wake(self, times: int = 1) -> None:
        """Send `times` wake-ups, at most `MESSAGES`.

        Raises:
            Unavailable: Redis is unavailable.
        """
        try:
            async with asyncio.timeout(self._timeout + times * 0.01):
                await asyncio.gather(*(self._send() for _ in range(min(times, MESSAGES))))
        except (RedisError, OSError) as error:
            raise Unavailable("Redis is away: background work begins when it is back.") from error

    def wake_soon(self, times: int = 1) -> None:
        """Send wake-ups in the background; if that fails, the reconciler sends them later."""
        self._pending += times
        if times and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._send_pending())

    async def push(self, drafts: Sequence[JobDraft]) -> None:
        """Send wake-ups for those of the stored jobs that are due now."""
        now = datetime.now(UTC)
        self.wake_soon(sum(draft.run_at <= now for draft in drafts))

    async def waiting(self) -> int:
        """How many messages no worker has taken yet.

        Raises:
            Unavailable: Redis is unavailable.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return int(await self._queue.count("queued"))
        except (RedisError, OSError) as error:
            raise Unavailable("Redis is unavailable.") from error

    def worker(self, answer: Callable[[], Awaitable[object]], *, concurrency: int, name: str) -> Worker[Any]:
        """A SAQ worker that calls `answer` for each message, so many at once; leaves signals to the server."""

        async def due(_context: Any) -> None:
            await answer()

        worker: Worker[Any] = Worker(
            self._queue,
            functions=[(_FUNCTION, due)],
            id=name,
            concurrency=concurrency,
            dequeue_timeout=_WAIT_FOR_MESSAGE,
            cancellation_hard_deadline_s=5.0,
        )
        worker.SIGNALS = []
        return worker

    async def close(self) -> None:
        """Send the pending wake-ups, then close the connection."""
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        # not queue.disconnect(): it talks to Redis once more, which may be away
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def _send_pending(self) -> None:
        while self._pending:
            times, self._pending = self._pending, 0
            try:
                await self.wake(times)
            except Unavailable as error:
                _log.warning("workers could not be woken: %s", error)

    async def _send(self) -> None:
        await self._queue.enqueue(_FUNCTION, timeout=self._message_timeout, retries=1, ttl=-1)
