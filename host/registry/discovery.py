"""Read plugins.toml and find each plugin's manifest, without importing the plugins."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from packaging.utils import canonicalize_name
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as pydantic_dataclass

from host.errors import ConfigurationError, refuse
from host.input_errors import nearest
from host.registry.manifest import Manifest, PluginId, Text
from host.settings.files import read_file, read_tables

ENTRY_POINT_GROUP = "tenantry.plugins"
BUNDLED = "plugins"
"""The package whose folders are the bundled plugins."""

Default = Literal["on", "off", "always"]


@pydantic_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Wanted:
    """One table of plugins.toml. `default`: for a tenant that has not switched it; "off" when not said."""

    id: PluginId
    default: Default = "off"
    package: Text | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A wanted plugin with its manifest, its import package and where it comes from, for people to read."""

    wanted: Wanted
    manifest: Manifest
    package: str
    source: str


def read(path: Path) -> tuple[Wanted, ...]:
    """The plugins that plugins.toml names, in its order.

    Raises:
        ConfigurationError: lists everything that is wrong with the file, each with key and remedy.
    """
    return read_tables(path, Wanted)


def find(wanted: Iterable[Wanted], plugins_toml: Path, bundled: str = BUNDLED) -> tuple[Found, ...]:
    """Find and read the manifest of each wanted plugin: in the tree first, else by entry point.

    Raises:
        ConfigurationError: lists each plugin that is not installed, is installed twice or has a broken manifest.
    """
    _add_folder(bundled, plugins_toml.absolute().parent / bundled)
    installed = tuple(entry_points(group=ENTRY_POINT_GROUP))
    messages: list[str] = []
    discovered = []
    for plugin in wanted:
        try:
            discovered.append(_find_one(plugin, plugins_toml, bundled, installed))
        except ConfigurationError as error:
            messages.append(str(error))
    refuse(messages)
    return tuple(discovered)


def available(bundled: str = BUNDLED) -> tuple[str, ...]:
    """The ids of every plugin that could be named in plugins.toml here, bundled and installed."""
    in_tree = [path.parent.name for folder in _folders(bundled) for path in folder.glob("*/manifest.toml")]
    return tuple(sorted({*in_tree, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))}))


def _add_folder(bundled: str, folder: Path) -> None:
    """Let the deployment's own folder of plugins belong to the package of the bundled ones, which may be installed."""
    if not folder.is_dir() or folder in _folders(bundled) or importlib.util.find_spec(bundled) is None:
        return
    importlib.import_module(bundled).__path__.append(str(folder))


def _find_one(wanted: Wanted, plugins_toml: Path, bundled: str, installed: tuple[EntryPoint, ...]) -> Found:
    where = f"{plugins_toml}: [{wanted.id}]"
    manifests = [folder / wanted.id / "manifest.toml" for folder in _folders(bundled)]
    in_tree = next((path for path in manifests if path.is_file()), None)
    if wanted.package is None and in_tree is not None:
        manifest = read_file(in_tree, Manifest)
        return _agreeing(Found(wanted, manifest, f"{bundled}.{wanted.id}", "bundled"), where)
    point = _entry_point(wanted, where, bundled, installed)
    package = point.module.removesuffix(".plugin")
    home = package_folder(package)
    source = _distribution(point)
    if home is None or not (home / "manifest.toml").is_file():
        raise ConfigurationError(
            f'{where}: the package "{package}" of distribution {source} has no manifest.toml; '
            "its author must ship it as package data"
        )
    return _agreeing(Found(wanted, read_file(home / "manifest.toml", Manifest), package, source), where)


def _agreeing(plugin: Found, where: str) -> Found:
    if plugin.manifest.id != plugin.wanted.id:
        raise ConfigurationError(
            f'{where}: {plugin.manifest.path} says id = "{plugin.manifest.id}"; '
            f"rename the table to [{plugin.manifest.id}] or correct the manifest"
        )
    return plugin


def _entry_point(wanted: Wanted, where: str, bundled: str, installed: tuple[EntryPoint, ...]) -> EntryPoint:
    points = {_distribution(point): point for point in installed if point.name == wanted.id}
    if wanted.package is not None:
        name = canonicalize_name(wanted.package)
        points = {dist: point for dist, point in points.items() if canonicalize_name(dist) == name}
        if not points:
            distributions = [_distribution(point) for point in installed]
            raise ConfigurationError(
                f'{where}: package: no installed distribution "{wanted.package}" provides a plugin "{wanted.id}"; '
                f"install it{nearest(wanted.package, distributions)}"
            )
    if not points:
        raise ConfigurationError(
            f"{where}: no plugin of this id is bundled or installed; install it or remove the table"
            f"{nearest(wanted.id, available(bundled))}"
        )
    if len(points) > 1:
        raise ConfigurationError(
            f"{where}: provided by the distributions {', '.join(sorted(points))}; say which with package = "
            f'"{sorted(points)[0]}"'
        )
    return next(iter(points.values()))


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"


def package_folder(package: str) -> Path | None:
    """The folder of an importable package, found without running any of its code; None when there is none."""
    return next(iter(_folders(package)), None)


def _folders(package: str) -> list[Path]:
    top, *rest = package.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None or not spec.submodule_search_locations:
        return []
    folders = [Path(location).joinpath(*rest) for location in spec.submodule_search_locations]
    return [folder for folder in folders if folder.is_dir()]


def hooks_in_source(plugin: Found, hooks: Iterable[str]) -> frozenset[str]:
    """Which of these hooks a plugin's source mentions, read without importing it; errs on the side of naming one."""
    try:
        text = (plugin.manifest.path.parent / "plugin.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    return frozenset(hook for hook in hooks if re.search(rf"\b{hook}\b", text))
