"""Read config/settings.toml and the environment into `Settings`; errors name the place, the key and the fix."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from host.errors import ConfigurationError, refuse
from host.input_errors import KeyPath
from host.settings.files import read_toml
from host.settings.layers import Layers
from host.settings.sections import DataSettings, Sections, Settings

DEFAULT_FILE = "config/settings.toml"
PREFIX = "TENANTRY_"
SHORT_NAMES = {
    "PORT": ("server", "port"),
    "DATABASE_URL": ("database", "url"),
    "REDIS_URL": ("redis", "url"),
}
NOT_SETTINGS = frozenset({"TENANTRY_CONFIG", "TENANTRY_TRACEBACK"})
"""Variables of ours that the command line reads for itself."""


def load(
    path: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    *,
    plugin_ids: Collection[str] | None = (),
) -> Settings:
    """The settings of `path` (below the folder that holds plugins.toml) with the environment's on top.

    Args:
        path: the settings file; None: TENANTRY_CONFIG, or config/settings.toml. `Settings.root` becomes its parent's
            parent.
        env: the environment; None means the process's.
        plugin_ids: sections that belong to plugins and are left alone here; None: any unknown one may be a plugin's.

    Raises:
        ConfigurationError: the file is missing or unreadable, or a key or value is not as it should be.
    """
    variables = os.environ if env is None else env
    file = Path(path or variables.get("TENANTRY_CONFIG") or DEFAULT_FILE)
    if not file.exists():
        raise ConfigurationError(
            f"{file} is missing: `tenantry init` writes a new deployment here; or run from the folder of yours, or "
            "name the file with --config or TENANTRY_CONFIG"
        )
    layers = Layers(Sections, file, prefix=PREFIX)
    layers.take_table(read_toml(file), strict=True)
    for name in sorted(variables, key=lambda name: (name.startswith(PREFIX), name)):  # the long names come last and win
        key_path = _key_path(name)
        if key_path and not _of_a_plugin(key_path, plugin_ids):
            layers.take_variable(name, key_path, variables[name])
    sections = layers.read()
    refuse(layers.complaints)
    assert sections is not None
    root = file.absolute().parent.parent
    return Settings(root=root, **{**dict(sections), "data": DataSettings(dir=root / sections.data.dir)})


def _key_path(name: str) -> KeyPath:
    """The key that a variable sets; none for a variable that is not ours."""
    short = name.removesuffix("_FILE")
    if short in SHORT_NAMES:
        section, key = SHORT_NAMES[short]
        return section, key + name[len(short) :].lower()
    if not name.startswith(PREFIX) or name in NOT_SETTINGS:
        return ()
    return tuple(name[len(PREFIX) :].lower().split("__"))


def _of_a_plugin(key_path: KeyPath, plugin_ids: Collection[str] | None) -> bool:
    if len(key_path) == 1 or key_path[0] in Sections.model_fields:
        return False
    return plugin_ids is None or key_path[0] in plugin_ids
