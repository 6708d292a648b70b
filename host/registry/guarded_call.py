"""Call synchronous plugin code with a timeout, turning exceptions, exits and hangs into a reason."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GuardedCall(Generic[T]):
    """The outcome of a call: `value` when `reason` is empty, else why it failed."""

    value: T | None = None
    reason: str = ""
    error: BaseException | None = None


def describe(error: BaseException) -> str:
    """An exception in one line: its type and the first line of its message."""
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0]}" if first else type(error).__name__


def guarded_call(call: Callable[[], T], seconds: float) -> GuardedCall[T]:
    """Run a call for at most `seconds` and catch all it raises.

    It runs in a daemon thread, the only way to stop waiting for code that does not return; an abandoned call stays in
    its thread and does not delay the end of the process.
    """
    outcome: list[GuardedCall[T]] = []

    def run() -> None:
        try:
            outcome.append(GuardedCall(value=call()))
        except SystemExit as error:
            outcome.append(GuardedCall(reason=f"it called sys.exit({error.code!r})", error=error))
        except BaseException as error:
            outcome.append(GuardedCall(reason=f"it raised {describe(error)}", error=error))

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="plugin-attempt", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else GuardedCall(reason=f"it did not return within {seconds:g} seconds")
