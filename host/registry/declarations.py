"""Call each plugin's `register_*` hooks once and check the types of what they return."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from host.execution_context import as_plugin
from host.registry import kinds
from host.registry.guarded_call import guarded_call
from host.registry.kinds import Kind
from host.registry.loading import REGISTER_SECONDS, Implementation, Implementations

T = TypeVar("T")
_log = logging.getLogger("host.registry.loading")


@dataclass(frozen=True, slots=True)
class Declarations:
    """What one plugin declares, by hook. `complete` is False when one of its hooks failed: that one's are unknown."""

    plugin: str
    complete: bool = True
    items: Mapping[str, tuple[object, ...]] = field(default_factory=dict)

    def of(self, kind: Kind[T]) -> tuple[T, ...]:
        """What it declares of one kind, in its own order."""
        return cast(tuple[T, ...], self.items.get(kind.hook, ()))


def collect(
    plugin_id: str, implemented: Implementations, seconds: float = REGISTER_SECONDS
) -> tuple[Declarations, tuple[str, ...]]:
    """Call every `register_*` hook of one plugin.

    Returns:
        What it declares, and a reason for each hook that raised, exited, hung or gave something else than it should.
    """
    items: dict[str, tuple[object, ...]] = {}
    reasons = []
    for kind in kinds.KINDS:
        for implementation in implemented.get(kind.hook, ()):
            if implementation.plugin == plugin_id:
                items[kind.hook], reason = _ask(implementation, kind, seconds)
                reasons += [reason] if reason else []
    declared = Declarations(plugin_id, not reasons, items)
    with_routes = dict.fromkeys(item for route in declared.of(kinds.ROUTES) for item in route.declares)
    for kind in (kinds.PERMISSIONS, kinds.LIMITS):
        items[kind.hook] = (*items.get(kind.hook, ()), *filter(kind.fits, with_routes))
    return declared, tuple(reasons)


def _ask(implementation: Implementation, kind: Kind[Any], seconds: float) -> tuple[tuple[object, ...], str]:
    with as_plugin(implementation.plugin):
        outcome = guarded_call(lambda: _items(kind, implementation.call(())), seconds)
    if outcome.reason:
        _log.error("plugin %s: %s failed", implementation.plugin, kind.hook, exc_info=outcome.error)
    return outcome.value or (), outcome.reason and f"{kind.hook}: {outcome.reason}"


def _items(kind: Kind[Any], answer: object) -> tuple[object, ...]:
    """What a hook returned, each item checked: a class that comes alone is a tuple of one."""
    if kind.returns == "class":
        if not kind.fits(answer):
            raise TypeError(f"{kind.hook} must return {kind.expected}, not {answer!r}")
        return (answer,)
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        raise TypeError(f"{kind.hook} must return {kind.expected}, not {answer!r}")
    items = tuple(answer)
    if unfit := [item for item in items if not kind.fits(item)]:
        raise TypeError(f"{kind.hook} must return {kind.expected}; it holds {unfit[0]!r}")
    return items
