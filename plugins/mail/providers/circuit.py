"""How much is asked of a provider: a circuit that opens when it is away, its places at once, the pace it is kept to."""

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
"""Seconds it stays open: the first time, and at most; doubled each time that the probe fails."""

LONGEST_QUEUE = 10.0
"""Seconds a message waits here for a place or its turn; with more to wait it comes back later."""


class Busy(ProviderUnavailable):
    """It has as much to do as it may have. It is well, so nobody else is asked instead."""


class Circuit:
    """Closed: all is well. Open: nobody asks. Half-open, when it was open long enough: one message tries."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._rest = FIRST_REST
        self._closed_at: float | None = None  # when it was open long enough; None while closed
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the provider has not been found well since it failed."""
        return self._closed_at is not None

    @property
    def left(self) -> timedelta:
        """How long nobody asks it from now on."""
        return timedelta(seconds=max(0.0, (self._closed_at or 0.0) - self._clock()))

    def wait(self) -> timedelta | None:
        """How long to leave it alone yet; None when it may be asked, which half-open only the caller now may."""
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
        """It answered; whether that closed the circuit."""
        was_open = self.is_open
        self._failures, self._rest, self._closed_at, self._probing = 0, FIRST_REST, None, False
        return was_open

    def failed(self, *, at_once: bool = False, rest: timedelta | None = None) -> bool:
        """It did not answer; whether that opened the circuit.

        at_once: the next one would fail as well. rest: how long it asks to be left alone itself.
        """
        self._failures += 1
        was_open, probed, self._probing = self.is_open, self._probing, False
        if was_open and not probed and rest is None:
            return False  # a straggler from before
        if not (was_open or at_once or rest is not None or self._failures >= THRESHOLD):
            return False
        if was_open and probed:
            self._rest = min(self._rest * 2, LONGEST_REST)
        seconds = rest.total_seconds() if rest is not None else self._rest
        self._closed_at = max(self._closed_at or 0.0, self._clock() + seconds)
        return not was_open

    def gave_up(self) -> None:
        """Whoever asked was interrupted before there was an answer: another may probe."""
        self._probing = False


class Places:
    """So many at once; of those that wait the lowest priority goes first, and one place is kept from those above 0."""

    def __init__(self, count: int) -> None:
        self.count = self._free = count
        self._kept = min(1, count - 1)
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = 0

    @asynccontextmanager
    async def one(self, priority: int) -> AsyncIterator[None]:
        """A place for the block.

        Raises:
            Busy: none became free for it within LONGEST_QUEUE.
        """
        await self._take(priority)
        try:
            yield
        finally:
            self._free += 1
            self._admit()

    async def all(self) -> None:
        """Wait until nobody has a place, and give none any more."""
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
                raise Busy("the provider has its hands full", wait=timedelta(seconds=1), tried=False) from None
            raise

    def _admit(self) -> None:
        while self._waiting and (self._waiting[0][2].done() or self._free > self._kept * (self._waiting[0][0] > 0)):
            admitted = heapq.heappop(self._waiting)[2]
            if not admitted.done():
                self._free -= 1
                admitted.set_result(None)


class Pace:
    """Turns that are `interval` seconds apart; 0: no pace is kept."""

    def __init__(self, interval: float, clock: Callable[[], float] = monotonic) -> None:
        self._interval, self._clock = interval, clock
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for a turn.

        Raises:
            Busy: there are more before it than can be waited for here.
        """
        if not self._interval:
            return
        now = self._clock()
        at = max(self._next, now)
        if at - now > LONGEST_QUEUE:
            raise Busy("the provider's rate is used up", wait=timedelta(seconds=at - now), tried=False)
        self._next = at + self._interval
        await asyncio.sleep(at - now)
