"""Call an async function every few seconds in a background task until stopped; what it raises is logged."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from host.errors import Unavailable


class Periodic:
    """A background task that repeats one step. It runs in the context of whoever calls `start`."""

    def __init__(
        self,
        step: Callable[[], Awaitable[object]],
        every: float,
        log: logging.Logger,
        failed: str,
        *,
        at_once: bool = True,
        spread: float = 0.0,
    ) -> None:
        """every: seconds between two calls. failed: what to log of a call that raises, at level debug if a service is
        away. at_once: whether the first call is made at the start. spread: share of `every` by which pauses differ, so
        that processes do not act at the same moment.
        """
        self._step, self._every, self._log, self._failed = step, every, log, failed
        self._at_once, self._spread = at_once, spread
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to repeat."""
        self._task = asyncio.create_task(self._repeat())

    async def stop(self) -> bool:
        """Interrupt it; whether it was running."""
        task, self._task = self._task, None
        if task is None:
            return False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return True

    async def call(self) -> None:
        """Make one call; what it raises is logged."""
        try:
            await self._step()
        except Unavailable as away:
            self._log.debug("%s: %s", self._failed, away)
        except Exception:
            self._log.exception(self._failed)

    async def _repeat(self) -> None:
        if self._at_once:
            await self.call()
        while True:
            await asyncio.sleep(self._every * random.uniform(1 - self._spread, 1 + self._spread))  # noqa: S311
            await self.call()
