"""Exceptions with which a task gives up, postpones itself or asks for a retry with its own backoff."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before each further try: `first` seconds, doubled each time up to `longest`.

    within: there is no further try once all waits together come to so many seconds; None: the tries are counted.

    Example:
        raise TryAgain("the server is busy", Backoff(first=60, longest=3600, within=172_800))
    """

    first: float
    longest: float = 3600.0
    within: float | None = None

    def wait(self, attempts: int, chance: Callable[[], float] = random.random) -> timedelta | None:
        """The wait after try number `attempts` (1 is the first); None: that was the last.

        A quarter is added or taken off by chance, so that jobs that failed together do not come back together.
        """
        if self.within is not None and sum(map(self._usual, range(1, attempts))) >= self.within:
            return None
        return timedelta(seconds=self._usual(attempts) * (0.75 + 0.5 * chance()))

    def _usual(self, attempts: int) -> float:
        return float(min(self.longest, self.first * 2.0 ** min(attempts - 1, 30)))


class GiveUp(Exception):
    """Raised by a task: trying again cannot help. The job fails now, with this reason.

    Example:
        raise GiveUp("the note is gone")
    """


class Postpone(Exception):
    """Raised by a task: not now; run me again after `wait`. Does not count as a try.

    Example:
        raise Postpone(timedelta(minutes=5))
    """

    def __init__(self, wait: timedelta, reason: str = "") -> None:
        self.wait = wait
        super().__init__(reason or f"put off by {wait}")


class TryAgain(Exception):
    """Raised by a task: this try failed; retry with `backoff` in place of the task's own.

    Example:
        raise TryAgain("the server is busy", Backoff(first=60, longest=3600))
    """

    def __init__(self, reason: str, backoff: Backoff) -> None:
        self.backoff = backoff
        super().__init__(reason)
