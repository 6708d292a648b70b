"""The time limit of a handler, which a request body that still arrives does not use up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import TypeVar

from host.errors import Unavailable

T = TypeVar("T")


class HandlerDeadline:
    """Cancels the handler in the block when it takes longer than this many seconds.

    The time until the client has sent more of its body is not the handler's: the clock stands still for so
    long, and starts anew with each piece, so that an upload may take as long as it goes on.

    Raises:
        Unavailable: at the end of the block, when the time is over.
    """

    __slots__ = ("_limit", "_running", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._limit = asyncio.timeout(seconds)
        self._running = False

    async def __aenter__(self) -> HandlerDeadline:
        await self._limit.__aenter__()
        self._running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running = False
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise Unavailable(f"This took longer than {self._seconds:g} seconds and was cancelled.") from None

    async def paused(self, waiting: Awaitable[T]) -> T:
        """What `waiting` gives, however long the client takes; then the clock starts anew."""
        self._reschedule(None)
        try:
            return await waiting
        finally:
            self._reschedule(asyncio.get_running_loop().time() + self._seconds)

    def _reschedule(self, when: float | None) -> None:
        if self._running and not self._limit.expired():
            self._limit.reschedule(when)
