"""Plugins taken out of service in this process, each with its reason, until they are re-armed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_log = logging.getLogger("host.registry.quarantine")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A plugin out of service. `until_restart`: it never finished loading, so only a new process can re-arm it."""

    plugin: str
    reason: str
    since: datetime
    until_restart: bool = False


class Quarantine:
    """The plugins out of service. `changes` grows with every change, so that cached decisions can be dropped."""

    def __init__(self) -> None:
        self._held: dict[str, Quarantined] = {}
        self.changes = 0

    def put(self, plugin: str, reason: str, *, until_restart: bool = False) -> None:
        """Take a plugin out of service; the first reason stays when it is already out."""
        if plugin in self._held:
            return
        self._held[plugin] = Quarantined(plugin, reason, datetime.now(UTC), until_restart)
        self.changes += 1
        _log.error("plugin %s is in quarantine: %s", plugin, reason)

    def lift(self, plugin: str) -> bool:
        """Put a plugin back into service; False when it was not out.

        Raises:
            RuntimeError: the plugin never finished loading; correct the cause and restart.
        """
        held = self._held.get(plugin)
        if held is None:
            return False
        if held.until_restart:
            raise RuntimeError(
                f'plugin "{plugin}" did not finish loading ({held.reason}); correct the cause and restart the process'
            )
        del self._held[plugin]
        self.changes += 1
        _log.warning("plugin %s is back from quarantine", plugin)
        return True

    def reason(self, plugin: str) -> str | None:
        """Why a plugin is out of service; None when it is not."""
        held = self._held.get(plugin)
        return held.reason if held else None

    def __contains__(self, plugin: object) -> bool:
        return plugin in self._held

    def __iter__(self) -> Iterator[Quarantined]:
        return iter(tuple(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)
