"""Call plugins' hooks one at a time, so that one that raises, exits or hangs does not affect the others.

pluggy stops at the first exception, lets SystemExit through and returns coroutines un-awaited; so it only registers
and validates here, and the implementations are called one by one in load order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from tortoise.exceptions import OperationalError

from host.contracts import Decision
from host.data.database import bound
from host.errors import ApiError
from host.instruments import tally, timed
from host.registry.guarded_hook import Heard, HookFailed, call_apart, call_here
from host.registry.loading import Implementation, Implementations
from host.registry.manifest import HOST
from host.registry.quarantine import Quarantine
from host.tracing import hooked

SECONDS: Mapping[str, float] = MappingProxyType(
    {
        "authenticate": 5.0,
        "authorize": 2.0,
        "contribute_principals": 2.0,
        "contribute_grants": 2.0,
        "on_action": 5.0,
        "on_stop": 5.0,
    }
)
"""How long one plugin may take for a hook; 30 seconds where not named."""

HANGS_ALLOWED = 3
"""Time-outs in a row after which a plugin goes into quarantine: each one holds up somebody's request."""

FAILURES_ALLOWED = 5
"""Unexpected exceptions of one hook in a row after which its plugin goes into quarantine.

A hook that records actions undoes each of them by raising: a broken one would stop its deployment for everybody.
"""

_EXPECTED = (ApiError, OSError, OperationalError)
"""A refusal, or a service that is away: neither says that the plugin is broken."""

_log = logging.getLogger("host.registry.hook_calls")


class Calling:
    """Calls hooks. `plugins`: ids to call, None for all; the host's own hooks are always called.

    A plugin in quarantine is not told anything, and says no to what it could have refused. It goes there when
    `on_start` fails, when any hook exits the process, when it hangs `HANGS_ALLOWED` times in a row, and when one hook
    raises what nobody expects `FAILURES_ALLOWED` times in a row.
    """

    def __init__(
        self,
        implementations: Implementations,
        quarantine: Quarantine,
        closed_hooks: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """`closed_hooks`: ask hooks of plugins that could not be imported, by plugin id."""
        self._implementations = implementations
        self._quarantine = quarantine
        self._closed_hooks = dict(closed_hooks or {})
        self._implementers: dict[str, tuple[str, ...]] = {}
        self._hangs: dict[str, int] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._running: set[asyncio.Task[Heard]] = set()

    def implementers(self, hook: str) -> tuple[str, ...]:
        """The ids of the plugins that implement a hook, in load order, then those not imported that seem to."""
        plugins = self._implementers.get(hook)
        if plugins is None:
            closed = (plugin for plugin, hooks in self._closed_hooks.items() if hook in hooks)
            plugins = (*(implementation.plugin for implementation in self._implementations.get(hook, ())), *closed)
            self._implementers[hook] = plugins
        return plugins

    async def tell(
        self,
        hook: str,
        *args: object,
        plugins: Collection[str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - per plugin, not for the whole call
        reverse: bool = False,
        raising: bool = False,
    ) -> tuple[HookFailed, ...]:
        """Tell plugins that something happened, one after the other in load order.

        Args:
            timeout: seconds each plugin may take.
            raising: stop at the first failure and raise it, so that the transaction around it is undone.

        Returns:
            One HookFailed for each plugin that failed; the others have been told.

        Raises:
            HookFailed: with `raising`, a plugin hung or exited. What a plugin raised itself comes as it is, with a
                note that names plugin and hook.
        """
        failures = []
        chosen = self._chosen(hook, plugins)
        for implementation in reversed(chosen) if reverse else chosen:
            heard = await self._hear(implementation, args, timeout, apart=not raising)
            if not heard.reason:
                continue
            if hook == "on_start":
                self._quarantine.put(implementation.plugin, f"{hook}: {heard.reason}")
            if raising:
                raise heard.raised()
            failures.append(heard.failure())
        return tuple(failures)

    async def ask_first(
        self,
        hook: str,
        *args: object,
        plugins: Collection[str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[str, object] | None:
        """The first plugin that answers, and its answer; None when all are silent. A failing plugin is silent."""
        for implementation in self._chosen(hook, plugins):
            heard = await self._hear(implementation, args, timeout)
            if not heard.reason and heard.answer is not None:
                return implementation.plugin, heard.answer
        return None

    async def ask_all(
        self, hook: str, *args: object, plugins: Collection[str] | None = None, apart: bool = True
    ) -> Sequence[Heard]:
        """What every plugin answers, in load order; of one that fails, `reason` says how.

        apart: False where a transaction is open, whose connection belongs to the caller's task.
        """
        chosen = self._chosen(hook, plugins)
        return [await self._hear(implementation, args, None, apart=apart) for implementation in chosen]

    async def ask_function(self, plugin: str, name: str, function: Callable[[], object], seconds: float) -> object:
        """Call a function that a plugin has handed out as if it were a hook of that plugin, called `name`.

        Raises:
            HookFailed: it hung or exited, or its plugin is in quarantine. What it raised itself comes as it is, with a
                note that names plugin and `name`.
        """
        if reason := self._quarantine.reason(plugin):
            raise HookFailed(plugin, name, f"the plugin is in quarantine: {reason}")
        implementation = Implementation(plugin, name, function, ())
        heard = await self._hear(implementation, (), seconds, apart=not bound().in_transaction)
        if heard.reason:
            raise heard.raised()
        return heard.answer

    async def ask_veto(
        self,
        hook: str,
        *args: object,
        plugins: Collection[str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Decision:
        """Whether no plugin objects: one "no", one failure, one time-out or one plugin in quarantine refuses.

        Args:
            plugins: the ids switched on, quarantined ones included (`Gate.switched_on`), as those refuse.
        """
        if out := next(self._closed(hook, plugins), None):
            return Decision(False, out, (out,), "PERMISSION_DENIED")
        steps: list[str] = []
        for implementation in self._chosen(hook, plugins):
            heard = await self._hear(implementation, args, timeout)
            answer = heard.answer
            if heard.reason:
                steps.append(f'plugin "{implementation.plugin}" could not decide, which counts as a no')
            elif answer is None:
                continue
            elif not isinstance(answer, Decision):
                _log.error("plugin %s: %s must return a Decision or None, not %r", implementation.plugin, hook, answer)
                steps.append(f'plugin "{implementation.plugin}" gave no readable answer, which counts as a no')
            elif answer.allowed:
                steps.append(f'plugin "{implementation.plugin}" agrees: {answer.reason}')
                continue
            else:
                steps.append(f'plugin "{implementation.plugin}" says no: {answer.reason}')
                return Decision(False, answer.reason, (*steps, *answer.steps), answer.code or "PERMISSION_DENIED")
            return Decision(False, steps[-1], tuple(steps), "PERMISSION_DENIED")
        return Decision(True, "no plugin objects", tuple(steps))

    def _chosen(self, hook: str, plugins: Collection[str] | None) -> Sequence[Implementation]:
        return [
            implementation
            for implementation in self._implementations.get(hook, ())
            if (plugins is None or implementation.plugin in plugins or implementation.plugin == HOST)
            and implementation.plugin not in self._quarantine
        ]

    def _closed(self, hook: str, plugins: Collection[str] | None) -> Iterator[str]:
        """A sentence for each plugin in quarantine that might have said no."""
        having = self.implementers(hook)
        for held in self._quarantine:
            if held.plugin in having and (plugins is None or held.plugin in plugins):
                yield f'plugin "{held.plugin}" may refuse this and is in quarantine: {held.reason}'

    async def _hear(
        self, implementation: Implementation, args: Sequence[object], seconds: float | None, *, apart: bool = True
    ) -> Heard:
        """Call one implementation, log its failure and count its hangs."""
        limit = SECONDS.get(implementation.hook, 30.0) if seconds is None else seconds
        work = (
            call_apart(implementation, args, limit, self._running) if apart else call_here(implementation, args, limit)
        )
        timed_work = timed("tenantry_hook_duration_seconds", (implementation.plugin, implementation.hook), work)
        heard = await hooked(implementation.plugin, implementation.hook, timed_work, Heard.kind)
        if not heard.reason:
            self._hangs.pop(implementation.plugin, None)
            self._failures.pop((implementation.plugin, implementation.hook), None)
            return heard
        tally("tenantry_hook_failures_total", implementation.plugin, implementation.hook)
        _log.error("plugin %s: %s: %s", implementation.plugin, implementation.hook, heard.reason, exc_info=heard.error)
        if isinstance(heard.error, SystemExit):
            self._quarantine.put(implementation.plugin, f"{implementation.hook}: {heard.reason}")
        elif heard.error is not None and implementation.plugin != HOST and not isinstance(heard.error, _EXPECTED):
            self._count_failure(implementation, heard)
        if heard.hung:
            self._hangs[implementation.plugin] = self._hangs.get(implementation.plugin, 0) + 1
            if self._hangs[implementation.plugin] >= HANGS_ALLOWED:
                del self._hangs[implementation.plugin]
                self._quarantine.put(
                    implementation.plugin, f"{implementation.hook}: {heard.reason}, {HANGS_ALLOWED} times in a row"
                )
        return heard

    def _count_failure(self, implementation: Implementation, heard: Heard) -> None:
        key = implementation.plugin, implementation.hook
        self._failures[key] = self._failures.get(key, 0) + 1
        if self._failures[key] >= FAILURES_ALLOWED:
            del self._failures[key]
            self._quarantine.put(
                implementation.plugin, f"{implementation.hook}: {heard.reason}, {FAILURES_ALLOWED} times in a row"
            )
