"""Read what other plugins contribute to an extension point, as far as it is active in the bound tenant."""

from __future__ import annotations

from typing import TypeVar

from host.contracts import Contributed, ExtensionPoint
from host.provisioning import provisioning
from host.registry.manifest import HOST
from host.services import tenant_snapshot
from tenants import context

T = TypeVar("T")


async def contributions(point: ExtensionPoint[T]) -> tuple[Contributed[T], ...]:
    """What other plugins contribute to one of this plugin's extension points, in load order.

    With a tenant bound: of the plugins that are on there, and nothing where this plugin is off. Without one: of every
    plugin that is loaded and not in quarantine. A function in it runs as its own plugin's code; what it raises comes as
    it is, and RuntimeError where it hung, exited, or its plugin is in quarantine by then.

    Example:
        for card in await contributions(CARDS):
            lines.append(f"{card.content.title}: {await card.content.read()}")

    Raises:
        LookupError: no loaded plugin returned this point from `register_extension_points`.
    """
    registry = provisioning().registry
    if context.current_or_none() is None:
        active = {HOST, *(plugin for plugin in registry.ids if plugin not in registry.quarantine)}
    else:
        active = set(registry.feature_gate.active(await tenant_snapshot()))
    return registry.extension_points.contributed(point, active)
