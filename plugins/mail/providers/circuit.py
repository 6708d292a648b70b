"""When a provider is left alone: a circuit that opens when it is away, and the pace it is kept to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from .contract import Away

THRESHOLD = 5
"""Failures in a row that open the circuit."""

FIRST_REST, LONGEST_REST = 5.0, 300.0
"""Seconds it stays open: the first time, and at most; doubled each time that the probe fails."""

LONGEST_QUEUE = 10.0
"""Seconds a message waits here for its turn; with more to wait it comes back later."""


class Busy(Away):
    """Its rate is used up. It is well, so nobody else is asked instead."""


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
