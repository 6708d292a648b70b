"""Read one plugin's settings from plugins.toml and the environment, and validate them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from host.settings.files import place
from host.settings.layers import Layers


def read_settings(
    model: type[BaseModel] | None,
    plugin_id: str,
    table: Mapping[str, Any],
    env: Mapping[str, str],
    plugins_toml: Path,
) -> tuple[BaseModel | None, list[str]]:
    """The settings, or None and what is wrong, each complaint with file or variable, key and remedy.

    Variables: `TENANTRY_<ID>__<KEY>`, one more `__` for each level below; lists separated by commas or as JSON, tables
    as JSON. One ending in `_FILE` names a file that holds the value. Secrets (`SecretStr`) are taken from the
    environment only. No value is shown: it may be a secret that is not declared as one.
    """
    section, prefix = (plugin_id, "settings"), f"TENANTRY_{plugin_id.upper()}__"
    variables = [name for name in sorted(env) if name.upper().startswith(prefix)]
    if model is None:
        places = [place(plugins_toml, section), *variables] if table else variables
        return None, [
            f'{where}: plugin "{plugin_id}" has no settings (no register_settings); remove this' for where in places
        ]
    layers = Layers(model, plugins_toml, section, prefix, reveal=False)
    layers.take_table(table, strict=False)
    for name in variables:
        layers.take_variable(name, tuple(name[len(prefix) :].lower().split("__")), env[name])
    return layers.read(), layers.complaints
