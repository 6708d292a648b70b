"""How a try of a job may end other than by returning: given up for good, or put off."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

from host.contracts import Task

_LONGEST_WAIT = 3600.0


class GiveUp(Exception):
    """Raised by a task: trying again cannot help. The job fails now, with this reason."""


class Postpone(Exception):
    """Raised by a task: not now; run me again after `wait`. Does not count as a try."""

    def __init__(self, wait: timedelta, reason: str = "") -> None:
        self.wait = wait
        super().__init__(reason or f"put off by {wait}")


def wait_before_retry(task: Task, attempts: int, chance: Callable[[], float] = random.random) -> timedelta:
    """How long to wait after try number `attempts` (1 is the first): doubled each time, an hour at most.

    A quarter is added or taken off by chance, so that jobs that failed together do not come back together.
    """
    doubled: float = min(_LONGEST_WAIT, task.backoff * 2.0 ** min(attempts - 1, 30))
    return timedelta(seconds=doubled * (0.75 + 0.5 * chance()))
