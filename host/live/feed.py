"""The newest messages of one followed stream in this process, shared by all its followers here."""

from __future__ import annotations

import asyncio
from collections import deque

from host.live.history import Entry, Notice

MESSAGES, BYTES = 256, 1024 * 1024
"""Most that is held; a follower that falls further behind reads from Redis again."""


class Feed:
    """Holds an unbroken chain of messages; what it cannot show to be unbroken, followers read from Redis.

    Attributes:
        followers: how many follow it here.
        changed: set when there may be something new, and then replaced.
    """

    def __init__(self) -> None:
        self.followers = 0
        self.changed = asyncio.Event()
        self._floor: str | None = None  # the id before the oldest message held
        self._newest: str | None = None
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def begin(self) -> None:
        """Notices come from now on; what was sent before, nobody here has heard."""
        self._clear()
        self.wake()

    def hear(self, notice: Notice) -> None:
        """Add a new message."""
        if self._newest is not None and notice.before != self._newest:  # one was missed, or Redis was emptied
            self._clear()
        if not self._entries:
            self._floor = notice.before
        self._entries.append(notice.entry)
        self._newest = notice.entry.id
        self._bytes += len(notice.entry.data)
        while len(self._entries) > MESSAGES or self._bytes > BYTES:
            oldest = self._entries.popleft()
            self._floor, self._bytes = oldest.id, self._bytes - len(oldest.data)
        self.wake()

    def after(self, position: str) -> list[Entry] | None:
        """The messages after a position; None where it is not in the chain."""
        if position == self._newest:
            return []
        newer: list[Entry] = []
        for entry in reversed(self._entries):
            if entry.id == position:
                break
            newer.append(entry)
        else:
            if position != self._floor:
                return None
        newer.reverse()
        return newer

    def wake(self) -> None:
        """Let every follower look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    def _clear(self) -> None:
        self._entries.clear()
        self._floor, self._newest, self._bytes = None, None, 0
