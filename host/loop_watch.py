"""Warn when a plugin blocks the event loop, naming the plugin, the file and the line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from types import FrameType

LONGEST_BLOCK = 1.0
"""Seconds for which the event loop may be blocked before a warning; every request of the process waits as long."""

_EVERY = 0.1  # seconds between two looks
_log = logging.getLogger("host.loop_watch")


@asynccontextmanager
async def watch_loop(packages: Mapping[str, str], longest: float = LONGEST_BLOCK) -> AsyncIterator[None]:
    """Watch the running event loop from a thread of its own for the block.

    Code that blocks cannot be interrupted: the warning, one for each time the loop is blocked, says where the code is.

    Args:
        packages: import package -> plugin id, to name whose code it is.
        longest: seconds.
    """
    watch = _Watch(packages, longest)
    thread = threading.Thread(target=watch.run, name="loop-watch", daemon=True)
    beating = asyncio.create_task(watch.beat())
    thread.start()
    try:
        yield
    finally:
        watch.stopped.set()
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


class _Watch:
    def __init__(self, packages: Mapping[str, str], longest: float) -> None:
        self._packages, self._longest = packages, longest
        self._loop_thread = threading.get_ident()
        self._last_beat = monotonic()
        self.stopped = threading.Event()

    async def beat(self) -> None:
        while True:
            self._last_beat = monotonic()
            await asyncio.sleep(_EVERY)

    def run(self) -> None:
        reported = 0.0
        while not self.stopped.wait(_EVERY):
            beat = self._last_beat
            if monotonic() - beat > self._longest and beat != reported:
                reported = beat
                self._warn(monotonic() - beat)

    def _warn(self, seconds: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        plugin, place = self._blamed(frame)
        _log.warning(
            "%s has blocked the event loop for %.1f s at %s: every other request waits; await instead, or move the "
            "work to asyncio.to_thread or a job",
            plugin,
            seconds,
            place,
        )

    def _blamed(self, frame: FrameType | None) -> tuple[str, str]:
        """The innermost frame that belongs to a plugin; the innermost of all where there is none."""
        innermost = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "an unknown place"
        while frame is not None:
            module = str(frame.f_globals.get("__name__", ""))
            for package, plugin in self._packages.items():
                if module == package or module.startswith(f"{package}."):
                    return f"plugin {plugin}", f"{frame.f_code.co_filename}:{frame.f_lineno}"
            frame = frame.f_back
        return "the host", innermost
