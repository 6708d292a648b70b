"""The loaded plugins of one application, what they declare, and the calls to their hooks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import MappingProxyType

import pluggy
from pydantic import BaseModel, ValidationError

from host.contracts import Route
from host.errors import ConfigurationError, refuse
from host.input_errors import configuration_messages
from host.registry.catalog import Catalog
from host.registry.declarations import Declarations, collect
from host.registry.discovery import BUNDLED, Found, available, find, hooks_in_source, read
from host.registry.extension_points import ExtensionPoints
from host.registry.feature_gate import Gate
from host.registry.guarded_hook import HookFailed
from host.registry.hook_calls import Calling
from host.registry.kinds import CONTRIBUTIONS, EXTENSION_POINTS, MODELS, ROUTES, SETTINGS
from host.registry.loading import (
    HOOKS,
    LoadedPlugin,
    implementations,
    import_plugin,
    new_plugin_manager,
    register,
)
from host.registry.manifest import HOST, SDK_VERSION
from host.registry.ordering import order
from host.registry.plan_check import plan_complaints, unused_tables
from host.registry.plan_settings import PlanSettings, read_plan_settings
from host.registry.plugin_settings import read_settings
from host.registry.quarantine import Quarantine
from host.registry.validation import validate
from host.settings.files import place
from tenants.plans import Plans

_ASK_HOOKS = frozenset(hook for hook in HOOKS if not hook.startswith(("register_", "on_")))
_log = logging.getLogger("host.registry")


@dataclass(frozen=True, slots=True)
class Registry:
    """Every plugin that plugins.toml names, in load order, quarantined ones included; the host is not among them."""

    plugins: tuple[LoadedPlugin, ...]
    catalog: Catalog
    feature_gate: Gate
    hook_calls: Calling
    extension_points: ExtensionPoints
    quarantine: Quarantine
    plan_settings: PlanSettings
    strict: bool = False

    @classmethod
    def load(
        cls,
        plugins_toml: Path,
        *,
        plans: Plans,
        host_plugin: object | None = None,
        env: Mapping[str, str] | None = None,
        strict: bool = False,
        check_route: Callable[[Route], object] = lambda route: None,
        bundled: str = BUNDLED,
        sdk: str = SDK_VERSION,
    ) -> Registry:
        """Find, check, order, import, register and collect.

        Broken configuration (plugins.toml, manifests, requirements, settings, plans, misspelt hooks, duplicates,
        unknown names) always stops it. A plugin that cannot be imported, raises, exits or hangs while it registers goes
        into quarantine and the others load.

        Args:
            host_plugin: an object or module with the host's own hook implementations.
            env: the environment variables, os.environ when None.
            strict: what else would be quarantined stops it too.
            check_route: raises ConfigurationError for a route whose handler cannot be called as declared.
            bundled: the package that holds the bundled plugins.

        Raises:
            ConfigurationError: lists every finding, each with file, key or plugins, and the remedy.
        """
        ordered = _in_order(find(read(plugins_toml), plugins_toml, bundled), sdk)
        loader = _Loader(host_plugin, ordered)
        refuse(loader.messages)
        loader.check(strict, check_route)
        settings = loader.settings(plugins_toml, os.environ if env is None else env)
        loaded = [plugin.manifest.id for plugin in ordered]
        installed = available(bundled)
        loader.messages += plan_complaints(plans, loader.declared, loaded, installed)
        unused = unused_tables(plans, loaded, installed)
        plan_settings, wrong = read_plan_settings(plans, loader.declared, unused)
        loader.messages += wrong
        refuse(loader.messages)
        plugins = tuple(loader.plugin(plugin, settings.get(plugin.manifest.id)) for plugin in ordered)
        _log.info("plugins loaded: %s", ", ".join(plugin.id for plugin in plugins) or "none")
        catalog = Catalog(loader.declared)
        closed = {plugin.id: plugin.closed_hooks for plugin in plugins if plugin.closed_hooks}
        hook_calls = Calling(loader.implemented, loader.quarantine, closed)
        return cls(
            plugins=plugins,
            catalog=catalog,
            feature_gate=Gate(plugins, plans, loader.quarantine),
            hook_calls=hook_calls,
            extension_points=ExtensionPoints(catalog.named(EXTENSION_POINTS), catalog.all(CONTRIBUTIONS), hook_calls),
            quarantine=loader.quarantine,
            plan_settings=plan_settings,
            strict=strict,
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """The plugins' ids in load order."""
        return tuple(plugin.id for plugin in self.plugins)

    def unfit_for_production(self) -> list[str]:
        """The plugins' settings that their own models refuse for production, each with its message."""
        wrong = []
        for plugin_id, value in self.settings.items():
            try:
                type(value).model_validate(dict(value), context={"production": True})
            except ValidationError as error:
                messages = configuration_messages(error, dict(value), type(value), reveal=lambda _: False)
                wrong += [
                    f"{place('plugins.toml', (plugin_id, 'settings', *path))}: {message}"
                    for path, message in messages.items()
                ]
        return wrong

    @property
    def settings(self) -> Mapping[str, BaseModel]:
        """The deployment's settings of each plugin that has any."""
        return MappingProxyType({one.id: one.settings for one in self.plugins if one.settings is not None})

    @property
    def model_modules(self) -> Mapping[str, tuple[str, ...]]:
        """The modules where each owner's models live, by plugin id; the host's under "host"."""
        modules: dict[str, dict[str, None]] = {}
        for owner, model in self.catalog.all(MODELS):
            modules.setdefault(owner, {})[model.__module__] = None
        return MappingProxyType({owner: tuple(names) for owner, names in modules.items()})

    def plugin(self, plugin_id: str) -> LoadedPlugin | None:
        """One plugin by its id."""
        return next((one for one in self.plugins if one.id == plugin_id), None)

    async def start(self) -> tuple[HookFailed, ...]:
        """Tell every plugin that this process starts; one that fails goes into quarantine.

        Raises:
            ConfigurationError: strict, and at least one failed.
        """
        failures = await self.hook_calls.tell("on_start")
        if self.strict:
            refuse([f"{failure}; correct it or start without --strict" for failure in failures])
        return failures

    async def stop(self) -> tuple[HookFailed, ...]:
        """Tell every plugin that this process stops, the last one loaded first."""
        return await self.hook_calls.tell("on_stop", reverse=True)

    async def rearm(self, plugin_id: str) -> tuple[HookFailed, ...]:
        """Take a plugin out of quarantine and start it again; what fails puts it back.

        Raises:
            RuntimeError: it never finished loading; only a restart helps.
        """
        if not self.quarantine.lift(plugin_id):
            return ()
        failures = await self.hook_calls.tell("on_start", plugins={plugin_id})
        return tuple(failure for failure in failures if failure.plugin == plugin_id)


def _in_order(plugins: Sequence[Found], sdk: str) -> tuple[Found, ...]:
    by_id = {plugin.manifest.id: plugin for plugin in plugins}
    return tuple(by_id[manifest.id] for manifest in order([plugin.manifest for plugin in plugins], sdk=sdk))


class _Loader:
    """The state of one load: what has been imported and declared so far, and what is wrong."""

    def __init__(self, host_plugin: object | None, ordered: Sequence[Found]) -> None:
        self.ordered = ordered
        self.quarantine = Quarantine()
        self.messages: list[str] = []
        self.modules: dict[str, object] = {}
        self.declared: list[Declarations] = []
        manager = new_plugin_manager()
        if host_plugin is not None:
            self._register(manager, HOST, host_plugin)
        self.seconds: dict[str, float] = {}
        for plugin in ordered:
            with self._timed(plugin.manifest.id):
                module = import_plugin(plugin, self.quarantine)
            if module is not None:
                self._register(manager, plugin.manifest.id, module)
        self.implemented = implementations(manager, (HOST, *(plugin.manifest.id for plugin in ordered)))
        if not self.messages:
            self._collect()

    def _register(self, manager: pluggy.PluginManager, plugin_id: str, plugin: object) -> None:
        self.modules[plugin_id] = plugin
        self.messages += register(manager, plugin_id, plugin)

    @contextmanager
    def _timed(self, plugin_id: str) -> Iterator[None]:
        """Add the block's duration to what loading a plugin has taken."""
        began = perf_counter()
        yield
        self.seconds[plugin_id] = self.seconds.get(plugin_id, 0.0) + perf_counter() - began

    def _collect(self) -> None:
        for plugin_id in (HOST, *(one.manifest.id for one in self.ordered)):
            if plugin_id not in self.modules:
                self.declared.append(Declarations(plugin_id, complete=plugin_id == HOST))
                continue
            with self._timed(plugin_id):
                declarations, reasons = collect(plugin_id, self.implemented)
            self.declared.append(declarations)
            if reasons and plugin_id == HOST:
                raise ConfigurationError("; ".join(reasons))
            if reasons:
                self.quarantine.put(plugin_id, "; ".join(reasons), until_restart=True)

    def check(self, strict: bool, check_route: Callable[[Route], object]) -> None:
        """Add complaints about declarations and handlers that cannot be called and, when strict, about plugins in
        quarantine."""
        self.messages += validate(self.declared, {one.manifest.id: one.manifest for one in self.ordered})
        for declarations in self.declared:
            for route in declarations.of(ROUTES):
                try:
                    check_route(route)
                except ConfigurationError as error:
                    self.messages.append(f'plugin "{declarations.plugin}": {error}')
        if strict:
            self.messages += [
                f'plugin "{held.plugin}": {held.reason}; correct it, remove it from plugins.toml, or start without '
                "--strict"
                for held in self.quarantine
            ]

    def settings(self, plugins_toml: Path, env: Mapping[str, str]) -> Mapping[str, BaseModel]:
        """Each plugin's settings; what is wrong with them joins the complaints."""
        declared = {each.plugin: each for each in self.declared}
        values = {}
        for plugin in self.ordered:
            declarations = declared[plugin.manifest.id]
            model = next(iter(declarations.of(SETTINGS)), None)
            if model is None and not declarations.complete:
                continue  # its model is unknown: nothing to hold its settings against
            value, wrong = read_settings(model, declarations.plugin, plugin.wanted.settings, env, plugins_toml)
            self.messages += wrong
            if value is not None:
                values[declarations.plugin] = value
        return values

    def plugin(self, plugin: Found, settings: BaseModel | None) -> LoadedPlugin:
        plugin_id = plugin.manifest.id
        module = self.modules.get(plugin_id)
        return LoadedPlugin(
            manifest=plugin.manifest,
            package=plugin.package,
            source=plugin.source,
            default=plugin.wanted.default,
            module=module,
            settings=settings,
            required_by=tuple(other.manifest.id for other in self.ordered if plugin_id in other.manifest.requires),
            closed_hooks=hooks_in_source(plugin, _ASK_HOOKS) if module is None else frozenset(),
            load_seconds=self.seconds[plugin_id],
        )
