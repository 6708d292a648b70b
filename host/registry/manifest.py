"""What a plugin's manifest.toml may say, as a pydantic model; read without importing the plugin."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic.dataclasses import dataclass

from host.settings import Settings

SDK_VERSION = "0.1.0"
"""The version of `host.sdk` that a manifest's `sdk` range is held against; equal to the distribution's."""

HOST = "host"
"""The id under which the host's own declarations go through the same checks as a plugin's."""

HOST_AREAS = frozenset({HOST, "tenant", "operator"})
"""First words of the host's own permissions and limits."""

_COMMANDS = frozenset(
    {"serve", "worker", "migrate", "demo", "doctor", "routes", "openapi", "plugin", "verify", "limits"}
)
_PATHS = frozenset(
    {"auth", "me", "plugins", "health", "ready", "version", "usage", "invitations", "docs", "api", "plan"}
)
RESERVED_IDS = HOST_AREAS | Settings.model_fields.keys() | _COMMANDS | _PATHS
"""Ids no plugin may take: they name the host's areas, settings sections, commands or paths."""

_ID = re.compile(r"[a-z](?:_?[a-z0-9]){1,30}")
Parsed = TypeVar("Parsed")
Others = TypeVar("Others", Mapping[str, SpecifierSet], tuple[str, ...])


def plugin_id(text: str) -> str:
    """The text, checked to be a plugin's id.

    Raises:
        ValueError: it is reserved for the host or is no id; the message says what to do.
    """
    if text in RESERVED_IDS:
        raise ValueError(f'"{text}" is reserved for the host; choose another id')
    if len(text) > 31 or not _ID.fullmatch(text):
        raise ValueError(
            f'"{text}" is not a plugin id; use 2 to 31 lower-case letters, digits and single underscores, '
            "beginning with a letter"
        )
    return text


def _read(parse: Callable[[str], Parsed], remedy: str) -> PlainValidator:
    def read(value: object) -> Parsed:
        try:
            return parse(value if isinstance(value, str) else "?")
        except ValueError:
            raise ValueError(f"{value!r} is not {remedy}") from None

    return PlainValidator(read)


def _range(text: str) -> SpecifierSet:
    return SpecifierSet("" if text.strip() == "*" else text.strip() or "?")


PluginId = Annotated[str, AfterValidator(plugin_id), Field(examples=["notes"])]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
VersionNumber = Annotated[Version, _read(Version, 'a version; write it like "1.2.0"'), Field(examples=["1.2.0"])]
Range = Annotated[
    SpecifierSet,
    _read(_range, 'a range of versions; write it like ">=0.1,<1", or "*" for any'),
    Field(examples=[">=0.1,<1"]),
]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Manifest:
    """What a plugin says about itself.

    requires: plugin id -> the versions of it that will do; without it this one does not load. wants: plugins that this
    one is loaded after where they are loaded, and does without where they are not.
    """

    id: PluginId
    name: Text
    version: VersionNumber
    summary: Text
    sdk: Range
    path: Path
    requires: Mapping[PluginId, Range] = Field(default_factory=dict)
    wants: tuple[PluginId, ...] = ()

    @field_validator("requires", "wants")
    @classmethod
    def _others(cls, value: Others, info: ValidationInfo) -> Others:
        if info.data.get("id") in value:
            raise ValueError(f'"{info.data["id"]}" is the plugin itself; remove it')
        return value
