"""Limit the work, the text and the CPU time of rendering one template.

Work is counted, not timed: the same template with the same variables ends the same way on every machine. The clock
(of this thread's CPU) is only a second limit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .errors import TooMuch

STEPS = 250_000
"""Parts of expressions evaluated in loops and macros, and elements that filters look at."""

CHARACTERS = 4_000_000
"""Characters written, joined, copied or searched while rendering; the result is limited by `OUTPUT`."""

SECONDS = 0.6
"""Seconds of CPU time of one rendering."""

OUTPUT = 1_000_000
"""Characters of one rendered part."""


class Budget:
    """Steps, characters and time that the current rendering has left."""

    __slots__ = ("_characters", "_ends", "_steps")

    def __init__(self) -> None:
        self._steps, self._characters = STEPS, CHARACTERS
        self._ends = time.thread_time() + SECONDS

    def work(self, steps: int) -> None:
        """Spend steps.

        Raises:
            TooMuch: there are none left, or no time.
        """
        self._steps -= steps
        if self._steps < 0:
            raise TooMuch("the template does too much: its loops go round too often")
        if time.thread_time() > self._ends:
            raise TooMuch("the template takes too long")

    def write(self, characters: int) -> None:
        """Spend characters.

        Raises:
            TooMuch: there are none left.
        """
        self._characters -= characters
        if self._characters < 0:
            raise TooMuch("the template writes too much text")


_current: ContextVar[Budget] = ContextVar("budget")

budget = _current.get
"""The budget of the current rendering; raises LookupError outside of one."""


@contextmanager
def spending() -> Iterator[Budget]:
    """A fresh budget for the block."""
    token = _current.set(Budget())
    try:
        yield _current.get()
    finally:
        _current.reset(token)
