"""Call a function as soon as this process is asked to stop, before the server waits for requests that still run."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hypercorn.asyncio import run

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_asked_by_event: set[Callable[[], None]] = set()


@contextmanager
def at_shutdown(call: Callable[[], None]) -> Iterator[None]:
    """Call a function in the event loop when the process is asked to stop within the block.

    Most servers are asked by SIGTERM or SIGINT, whose handler goes on afterwards; Hypercorn's workers by an event.
    """
    loop = asyncio.get_running_loop()
    in_main_thread = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS} if in_main_thread else {}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number, handler in handlers.items():

        def handle(number: int, frame: FrameType | None, handler: Any = handler) -> None:
            loop.call_soon_threadsafe(call)
            handler(number, frame)

        signal.signal(number, handle)
    _asked_by_event.add(call)
    try:
        yield
    finally:
        _asked_by_event.discard(call)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def install_shutdown_notice() -> None:
    """Make Hypercorn's workers, in this process, tell `at_shutdown`.

    Hypercorn has no setting for this: the function that waits for its event is replaced. Called once, by whatever the
    server imports.
    """
    wait = run.check_multiprocess_shutdown_event  # type: ignore[attr-defined]

    async def wait_and_tell(*arguments: Any) -> None:
        await wait(*arguments)
        for call in tuple(_asked_by_event):
            call()

    run.check_multiprocess_shutdown_event = wait_and_tell  # type: ignore[assignment, attr-defined]
