"""Read and check a plugin's manifest.toml, without importing the plugin."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from host.registry.messages import nearest, refuse

SDK_VERSION = "0.1.0"
"""The version of `host.sdk` that a manifest's `sdk` range is held against; equal to the distribution's."""

HOST = "host"
"""The id under which the host's own declarations go through the same checks as a plugin's."""

HOST_AREAS = frozenset({HOST, "tenant", "operator"})
"""First words of the host's own permissions and limits."""

_SETTINGS_SECTIONS = frozenset(
    {
        "app",
        "sentry",
        "tracing",
        "server",
        "cors",
        "data",
        "database",
        "redis",
        "storage",
        "identity",
        "rates",
        "jobs",
        "tenants",
        "log",
        "oauth",
    }
)
_COMMANDS = frozenset(
    {"serve", "worker", "migrate", "demo", "doctor", "routes", "openapi", "plugin", "verify", "limits"}
)
_PATHS = frozenset(
    {"auth", "me", "plugins", "health", "ready", "version", "usage", "invitations", "docs", "api", "plan"}
)
RESERVED_IDS = HOST_AREAS | _SETTINGS_SECTIONS | _COMMANDS | _PATHS
"""Ids no plugin may take: they name the host's areas, settings sections, commands or paths."""

_ID = re.compile(r"[a-z](?:_?[a-z0-9]){1,30}")
_KEYS = ("id", "name", "version", "summary", "sdk", "requires")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a plugin says about itself. `requires` maps a plugin id to the versions of it that will do."""

    id: str
    name: str
    version: Version
    summary: str
    sdk: SpecifierSet
    requires: Mapping[str, SpecifierSet]
    path: Path


def id_complaint(plugin_id: str) -> str | None:
    """What is wrong with a plugin id, or None."""
    if plugin_id in RESERVED_IDS:
        return f'"{plugin_id}" is reserved for the host; choose another id'
    if len(plugin_id) > 31 or not _ID.fullmatch(plugin_id):
        return (
            f'"{plugin_id}" is not a plugin id; use 2 to 31 lower-case letters, digits and single underscores, '
            "beginning with a letter"
        )
    return None


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigurationError: it is missing, unreadable or not TOML; names the file and, for syntax, the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        refuse([f"{path}: there is no such file; create it"])
    except OSError as error:
        refuse([f"{path}: cannot be read ({error.strerror}); check its permissions"])
    except UnicodeDecodeError as error:
        refuse([f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"])
    except tomllib.TOMLDecodeError as error:
        refuse([f"{path}: is not TOML: {error}; correct that line"])
    raise AssertionError("refuse() raises")


def parse(path: Path) -> Manifest:
    """Read and check one manifest.

    Raises:
        ConfigurationError: lists everything that is wrong, each with file, key and remedy.
    """
    table = read_toml(path)
    reader = _Reader(path, table)
    plugin_id = reader.text("id")
    if plugin_id and (wrong := id_complaint(plugin_id)):
        reader.complain("id", wrong)
    manifest = Manifest(
        id=plugin_id,
        name=reader.text("name"),
        version=reader.version("version"),
        summary=reader.text("summary"),
        sdk=reader.range("sdk", table.get("sdk")),
        requires=reader.requires(),
        path=path,
    )
    reader.messages += [
        f'{path}: "{key}" is not a key of a manifest{nearest(key, _KEYS)}' for key in table if key not in _KEYS
    ]
    refuse(reader.messages)
    return manifest


class _Reader:
    """Takes typed values out of one manifest's table and notes what is wrong with them."""

    def __init__(self, path: Path, table: Mapping[str, Any]) -> None:
        self.path = path
        self.table = table
        self.messages: list[str] = []

    def complain(self, key: str, what: str) -> None:
        self.messages.append(f"{self.path}: {key}: {what}")

    def text(self, key: str) -> str:
        value = self.table.get(key)
        if isinstance(value, str) and value.strip():
            return value
        if value is None:
            self.complain(key, f'is missing; add {key} = "…"')
        else:
            self.complain(key, f"must be a text that is not blank, not {value!r}")
        return ""

    def version(self, key: str) -> Version:
        value = self.text(key)
        try:
            return Version(value or "0")
        except InvalidVersion:
            self.complain(key, f'"{value}" is not a version; write it like "1.2.0"')
            return Version("0")

    def range(self, key: str, value: object) -> SpecifierSet:
        if not isinstance(value, str) or not value.strip():
            self.complain(key, 'needs a range of versions, such as ">=0.1,<1", or "*" for any')
            return SpecifierSet()
        try:
            return SpecifierSet("" if value.strip() == "*" else value)
        except InvalidSpecifier:
            self.complain(key, f'"{value}" is not a range of versions; write it like ">=0.1,<1", or "*" for any')
            return SpecifierSet()

    def requires(self) -> Mapping[str, SpecifierSet]:
        value = self.table.get("requires", {})
        if not isinstance(value, dict):
            self.complain("requires", 'must be a table of plugin id = "range", such as [requires] projects = ">=0.1"')
            return {}
        for plugin_id in value:
            if wrong := id_complaint(plugin_id):
                self.complain(f"requires.{plugin_id}", wrong)
            if plugin_id == self.table.get("id"):
                self.complain(f"requires.{plugin_id}", "is the plugin itself; remove it")
        return {plugin_id: self.range(f"requires.{plugin_id}", text) for plugin_id, text in value.items()}
