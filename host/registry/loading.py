"""Import plugins and register them with pluggy; a plugin that fails goes into quarantine."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pluggy
from pydantic import BaseModel

from host.execution_context import as_plugin
from host.hookspecs import NAMESPACE, HookSpecs
from host.input_errors import nearest
from host.registry.discovery import Default, Found
from host.registry.guarded_call import guarded_call
from host.registry.manifest import Manifest
from host.registry.quarantine import Quarantine

IMPORT_SECONDS = 30.0
"""How long importing a plugin may take before it counts as hanging."""

REGISTER_SECONDS = 5.0
"""How long one `register_*` hook may take."""

HOOKS = frozenset(name for name in vars(HookSpecs) if not name.startswith("_"))
_log = logging.getLogger("host.registry.loading")


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin that plugins.toml names. `module` is None when it could not be imported.

    source: "bundled" or the distribution's name. required_by: the loaded plugins that require this one.
    closed_hooks: ask hooks that it has, or, not imported, seems to have; they refuse while it is in quarantine.
    load_seconds: how long importing it and its `register_*` hooks took in this process.
    """

    manifest: Manifest
    package: str
    source: str
    default: Default
    module: object | None
    settings: BaseModel | None
    required_by: tuple[str, ...]
    closed_hooks: frozenset[str] = frozenset()
    load_seconds: float = 0.0

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def requires(self) -> tuple[str, ...]:
        return tuple(self.manifest.requires)


@dataclass(frozen=True, slots=True)
class Implementation:
    """One plugin's implementation of one hook. `takes`: positions of the hook's arguments that it takes, by name."""

    plugin: str
    hook: str
    function: Callable[..., object]
    takes: tuple[tuple[str, int], ...]

    def call(self, args: Sequence[object]) -> object:
        """Call it with those of the hook's positional arguments that it declares."""
        return self.function(**{name: args[position] for name, position in self.takes})


Implementations = Mapping[str, tuple[Implementation, ...]]
"""Hook name -> implementations in load order, the host's own first."""


def new_plugin_manager() -> pluggy.PluginManager:
    """A pluggy manager that knows our hooks and no plugin."""
    manager = pluggy.PluginManager(NAMESPACE)
    manager.add_hookspecs(HookSpecs)
    return manager


def import_plugin(plugin: Found, quarantine: Quarantine, seconds: float = IMPORT_SECONDS) -> object | None:
    """The plugin's `plugin` module; None, and the plugin in quarantine, when importing it fails or hangs."""
    name = f"{plugin.package}.plugin"
    with as_plugin(plugin.manifest.id):
        outcome = guarded_call(lambda: importlib.import_module(name), seconds)
    if outcome.value is None:
        _log.error("plugin %s: importing %s failed", plugin.manifest.id, name, exc_info=outcome.error)
        quarantine.put(plugin.manifest.id, f"importing {name}: {outcome.reason}", until_restart=True)
    return outcome.value


def register(manager: pluggy.PluginManager, plugin_id: str, plugin: object) -> list[str]:
    """Register one plugin; what is wrong with its hooks, each complaint naming plugin, hook and remedy."""
    try:
        manager.register(plugin, name=plugin_id)
    except pluggy.PluginValidationError as error:
        return [f'plugin "{plugin_id}": {" ".join(str(error).split())}; take the arguments host.hookspecs shows']
    except ValueError:
        return [f'plugin "{plugin_id}": its module is registered under another id too; give each plugin its own']
    messages = [
        f'plugin "{plugin_id}": {hook} is not marked and would never be called; put @hookimpl above it'
        for hook in sorted(HOOKS & vars(plugin).keys())
        if inspect.isfunction(vars(plugin)[hook]) and not hasattr(vars(plugin)[hook], f"{NAMESPACE}_impl")
    ]
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin is plugin:
                messages += _hook_complaints(plugin_id, caller.name, implementation)
    return messages


def _hook_complaints(plugin_id: str, hook: str, implementation: pluggy.HookImpl) -> list[str]:
    where = f'plugin "{plugin_id}": {hook}'
    if hook not in HOOKS:
        return [] if implementation.optionalhook else [f"{where}: there is no such hook{nearest(hook, HOOKS)}"]
    if implementation.hookwrapper or implementation.wrapper:
        return [f"{where}: hooks are called one plugin at a time, a wrapper has nothing to wrap; make it plain"]
    if implementation.tryfirst or implementation.trylast:
        return [f"{where}: the order of plugins comes from requires; remove tryfirst and trylast"]
    must_be_async = inspect.iscoroutinefunction(getattr(HookSpecs, hook))
    if must_be_async != is_async(implementation.function):
        return [f"{where}: must be {'`async def`' if must_be_async else 'a plain `def`, not `async def`'}"]
    return []


def is_async(function: object) -> bool:
    """Whether calling it gives a coroutine; looks through decorators, partials and callable objects."""
    if callable(function):
        inner = inspect.unwrap(function)
        return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None))  # noqa: B004
    return False


def implementations(manager: pluggy.PluginManager, order: Iterable[str]) -> Implementations:
    """Every implementation by hook, in the given order of plugins."""
    by_hook: dict[str, list[Implementation]] = {}
    for plugin_id in order:
        plugin = manager.get_plugin(plugin_id)
        for caller in (manager.get_hookcallers(plugin) or ()) if plugin is not None else ():
            if caller.spec is None:
                continue
            names = caller.spec.argnames
            for hook_impl in caller.get_hookimpls():
                if hook_impl.plugin is plugin:
                    arguments = (*hook_impl.argnames, *hook_impl.kwargnames)
                    takes = tuple((name, names.index(name)) for name in arguments if name in names)
                    by_hook.setdefault(caller.name, []).append(
                        Implementation(plugin_id, caller.name, hook_impl.function, takes)
                    )
    return MappingProxyType({hook: tuple(implemented) for hook, implemented in by_hook.items()})
