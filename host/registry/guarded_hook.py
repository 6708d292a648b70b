"""Call one hook of one plugin in its context and within a time limit; an exception, exit or hang becomes a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from host.execution_context import as_plugin
from host.registry.guarded_call import describe
from host.registry.loading import Implementation


class HookFailed(RuntimeError):
    """One plugin's hook did not do its work; the message names plugin, hook and reason."""

    def __init__(self, plugin: str, hook: str, reason: str) -> None:
        super().__init__(f'plugin "{plugin}": {hook}: {reason}')
        self.plugin, self.hook, self.reason = plugin, hook, reason


@dataclass(slots=True)
class Heard:
    """The outcome of one plugin's hook: its `answer`, or the `reason` why there is none."""

    plugin: str
    hook: str
    answer: object = None
    reason: str = ""
    error: BaseException | None = None
    hung: bool = False

    def kind(self) -> str:
        """What kind of failure it was; empty where there was none."""
        return type(self.error).__name__ if self.error else "TimeoutError" if self.hung else self.reason

    def failure(self) -> HookFailed:
        return HookFailed(self.plugin, self.hook, self.reason)

    def raised(self) -> BaseException:
        """What the hook raised itself, with a note that names plugin and hook; `failure()` where it hung or exited."""
        if isinstance(self.error, Exception):
            self.error.add_note(f'raised by plugin "{self.plugin}" in {self.hook}')
            return self.error
        failure = self.failure()
        failure.__cause__ = self.error
        return failure


async def call_apart(
    implementation: Implementation, args: Sequence[object], seconds: float, running: set[asyncio.Task[Heard]]
) -> Heard:
    """Call in a task of its own, so that an implementation that ignores its cancellation can be abandoned.

    running: holds the task until it ends, since the loop itself keeps none alive.
    """
    task = asyncio.create_task(_guarded(implementation, args))
    running.add(task)
    task.add_done_callback(running.discard)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        return _timed_out(implementation, seconds)
    if task.cancelled():
        return Heard(implementation.plugin, implementation.hook, reason="it cancelled itself")
    return task.result()


async def call_here(implementation: Implementation, args: Sequence[object], seconds: float) -> Heard:
    """Call in the caller's task, which owns the open transaction: not abandoned while it may use the connection."""
    try:
        async with asyncio.timeout(seconds):
            return await _guarded(implementation, args)
    except TimeoutError:
        return _timed_out(implementation, seconds)
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is None or current.cancelling():
            raise
        return Heard(implementation.plugin, implementation.hook, reason="it cancelled itself")


async def _guarded(implementation: Implementation, args: Sequence[object]) -> Heard:
    """Call and await; a failure becomes a reason here, since asyncio lets SystemExit out of a task into the loop."""
    with as_plugin(implementation.plugin):
        try:
            answer = implementation.call(args)
            if isinstance(answer, Awaitable):
                answer = await answer
        except SystemExit as error:
            return Heard(
                implementation.plugin, implementation.hook, reason=f"it called sys.exit({error.code!r})", error=error
            )
        except Exception as error:
            return Heard(implementation.plugin, implementation.hook, reason=f"it raised {describe(error)}", error=error)
    return Heard(implementation.plugin, implementation.hook, answer=answer)


def _timed_out(implementation: Implementation, seconds: float) -> Heard:
    return Heard(
        implementation.plugin, implementation.hook, reason=f"it did not answer within {seconds:g} seconds", hung=True
    )
