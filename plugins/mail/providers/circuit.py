"""Circuit breaker, concurrency limiter and rate limiter of a mail provider."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic

from .contract import ProviderUnavailable

THRESHOLD = 5
"""Failures in a row that open the circuit."""

FIRST_REST, LONGEST_REST = 5.0, 300.0
"""Seconds that the circuit stays open: the first time, and at most; doubled each time that the probe fails."""

LONGEST_QUEUE = 10.0
"""Seconds that a message waits here for a slot or its turn; if it would take longer, it is tried again later."""


class Busy(ProviderUnavailable):
    """The provider works but is at its concurrency or rate limit; there is no failover to another one."""


class Circuit:
    """A circuit breaker. Closed: messages go through. Open: none does. Half-open, after the pause: one probes."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._rest = FIRST_REST
        self._closed_at: float | None = None  # when it was open long enough; None while closed
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether no delivery has succeeded since the provider failed."""
        return self._closed_at is not None

    @property
    def left(self) -> timedelta:
        """How much longer the provider is paused."""
        return timedelta(seconds=max(0.0, (self._closed_at or 0.0) - self._clock()))

    def wait(self) -> timedelta | None:
        """How much longer the provider is paused; None when it may be asked, half-open by this one caller only."""
        if self._closed_at is None:
            return None
        left = self._closed_at - self._clock()
        if left > 0:
            return timedelta(seconds=left)
        if self._probing:
            return timedelta(seconds=FIRST_REST)
        self._probing = True
        return None

    def succeeded(self) -> bool:
        """Record a success; returns whether that closed the circuit."""
        was_open = self.is_open
        self._failures, self._rest, self._closed_at, self._probing = 0, FIRST_REST, None, False
        return was_open

    def failed(self, *, at_once: bool = False, rest: timedelta | None = None) -> bool:
        """Record a failure; returns whether that opened the circuit.

        at_once: open it at the first failure. rest: how long the provider itself asks not to be called.
        """
        self._failures += 1
        was_open, probed, self._probing = self.is_open, self._probing, False
        if was_open and not probed and rest is None:
            return False  # a delivery that began before the circuit opened
        if not (was_open or at_once or rest is not None or self._failures >= THRESHOLD):
            return False
        if was_open and probed:
            self._rest = min(self._rest * 2, LONGEST_REST)
        seconds = rest.total_seconds() if rest is not None else self._rest
        self._closed_at = max(self._closed_at or 0.0, self._clock() + seconds)
        return not was_open

    def gave_up(self) -> None:
        """The delivery was interrupted before there was an answer: another one may probe."""
        self._probing = False


class Places:
    """A concurrency limiter: the lowest priority goes first, and one slot is reserved for priorities of 0 and below."""

    def __init__(self, count: int) -> None:
        self.count = self._free = count
        self._kept = min(1, count - 1)
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = 0

    @asynccontextmanager
    async def one(self, priority: int) -> AsyncIterator[None]:
        """Hold one slot for the block.

        Raises:
            Busy: none became free within LONGEST_QUEUE seconds.
        """
        await self._take(priority)
        try:
            yield
        finally:
            self._free += 1
            self._admit()

    async def all(self) -> None:
        """Wait until no slot is in use, and hand out no more of them."""
        for _ in range(self.count):
            await self._take(-(2**31), None)

    async def _take(self, priority: int, longest: float | None = LONGEST_QUEUE) -> None:
        self._number += 1
        admitted = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, self._number, admitted))
        self._admit()
        try:
            async with asyncio.timeout(longest):
                await admitted
        except BaseException as error:
            if admitted.done() and not admitted.cancelled():
                self._free += 1
            admitted.cancel()
            self._admit()
            if isinstance(error, TimeoutError):
                raise Busy("the provider is at its concurrency limit", wait=timedelta(seconds=1), tried=False) from None
            raise

    def _admit(self) -> None:
        while self._waiting and (self._waiting[0][2].done() or self._free > self._kept * (self._waiting[0][0] > 0)):
            admitted = heapq.heappop(self._waiting)[2]
            if not admitted.done():
                self._free -= 1
                admitted.set_result(None)


class Pace:
    """A rate limiter: turns that are `interval` seconds apart; 0 means no limit."""

    def __init__(self, interval: float, clock: Callable[[], float] = monotonic) -> None:
        self._interval, self._clock = interval, clock
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for a turn.

        Raises:
            Busy: the wait would be longer than LONGEST_QUEUE seconds.
        """
        if not self._interval:
            return
        now = self._clock()
        at = max(self._next, now)
        if at - now > LONGEST_QUEUE:
            raise Busy("the provider's rate is used up", wait=timedelta(seconds=at - now), tried=False)
        self._next = at + self._interval
        await asyncio.sleep(at - now)
