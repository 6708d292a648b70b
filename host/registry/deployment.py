"""Edit plugins.toml: add or remove a plugin, keeping the file's comments and order."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import tomlkit

from host.errors import refuse
from host.input_errors import nearest
from host.registry.discovery import BUNDLED, Default, Wanted, find, read
from host.registry.ordering import order


def enable(
    plugins_toml: Path,
    plugin_id: str,
    *,
    default: Default | None = None,
    package: str | None = None,
    bundled: str = BUNDLED,
    dry_run: bool = False,
) -> str:
    """Name a plugin in plugins.toml, or change its default there; imports nothing.

    `default` None: "on", unless it is there as "always" already.

    Returns:
        The file's new text, written unless `dry_run`.

    Raises:
        ConfigurationError: the plugin is not installed, or what it requires is not named or does not fit.
    """
    named = {one.id: one for one in read(plugins_toml)} if plugins_toml.exists() else {}
    entry = named.get(plugin_id)
    package = package or (entry.package if entry else None)
    if default is None:
        default = "always" if entry and entry.default == "always" else "on"
    named[plugin_id] = Wanted(plugin_id, default, package, entry.settings if entry else {})
    order([one.manifest for one in find(named.values(), plugins_toml, bundled)])
    document = tomlkit.parse(_text(plugins_toml))
    if plugin_id not in document:
        if document.as_string().strip():
            document.add(tomlkit.nl())
        document[plugin_id] = tomlkit.table()
    table = document[plugin_id]
    table["default"] = default
    if package:
        table["package"] = package
    return _write(plugins_toml, document.as_string(), dry_run)


def disable(plugins_toml: Path, plugin_id: str, *, bundled: str = BUNDLED, dry_run: bool = False) -> str:
    """Take a plugin out of plugins.toml, its settings there included; its data stays.

    Returns:
        The file's new text, written unless `dry_run`.

    Raises:
        ConfigurationError: it is not named there, or another named plugin requires it.
    """
    named = read(plugins_toml)
    ids = [one.id for one in named]
    if plugin_id not in ids:
        refuse([f"{plugins_toml}: no plugin [{plugin_id}] is named here{nearest(plugin_id, ids)}"])
    needing = [one.manifest.id for one in find(named, plugins_toml, bundled) if plugin_id in one.manifest.requires]
    if needing:
        refuse([f"{plugins_toml}: [{plugin_id}] is required by {', '.join(needing)}; disable them first"])
    document = tomlkit.parse(_text(plugins_toml))
    document.remove(plugin_id)
    return _write(plugins_toml, document.as_string(), dry_run)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _write(path: Path, text: str, dry_run: bool) -> str:
    """Replace the file in one step, so that no one reads half of it."""
    if dry_run:
        return text
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return text
