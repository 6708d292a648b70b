"""Read one plugin's settings from plugins.toml and the environment, and validate them."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from host.input_errors import nearest, sentence


def read_settings(
    model: type[BaseModel] | None,
    plugin_id: str,
    table: Mapping[str, Any],
    env: Mapping[str, str],
    plugins_toml: Path,
) -> tuple[BaseModel | None, list[str]]:
    """The settings, or None and what is wrong, each complaint with file or variable, key and remedy.

    Variables: `TENANTRY_<ID>__<KEY>`, one more `__` for each level below; lists and tables as JSON. One ending in
    `_FILE` names a file that holds the value. Secrets (`SecretStr`) are taken from the environment only.
    """
    where = f"{plugins_toml}: [{plugin_id}.settings]"
    prefix = f"TENANTRY_{plugin_id.upper()}__"
    variables = {name: text for name, text in sorted(env.items()) if name.upper().startswith(prefix)}
    if model is None:
        places = [where, *variables] if table else [*variables]
        return None, [
            f'{place}: plugin "{plugin_id}" has no settings (no register_settings); remove this' for place in places
        ]
    reader = _Reader(model, where, prefix)
    reader.take_table(table)
    for name, text in variables.items():
        reader.take_variable(name, text)
    if reader.messages:
        return None, reader.messages
    try:
        return model.model_validate(reader.values), []
    except ValidationError as error:
        return None, [reader.sentence(problem["loc"], sentence(problem)) for problem in error.errors(include_url=False)]


class _Reader:
    """Collects one plugin's values and where each was read."""

    def __init__(self, model: type[BaseModel], where: str, prefix: str) -> None:
        self.fields = model.model_fields
        self.takes_any = model.model_config.get("extra") == "allow"
        self.where = where
        self.prefix = prefix
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.messages: list[str] = []

    def take_table(self, table: Mapping[str, Any]) -> None:
        for key, value in table.items():
            self.values[key], self.sources[key] = value, self.where
            if key not in self.fields:
                if not self.takes_any:
                    self.messages.append(f'{self.where}: "{key}" is not a setting{nearest(key, self.fields)}')
            else:
                self.messages += [
                    f"{self.where}: {'.'.join(path)}: is a secret; remove it here and set {self.prefix}"
                    f"{'__'.join(path).upper()}"
                    for path in _secrets(self.fields[key].annotation, value, (key,))
                ]

    def take_variable(self, name: str, text: str) -> None:
        key = name[len(self.prefix) :].lower()
        first, *rest = key.split("__")
        if first not in self.fields and key.endswith("_file"):
            first, *rest = key.removesuffix("_file").split("__")
            try:
                text = Path(text).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                self.messages.append(f"{name}: the file {text} cannot be read ({error}); correct the path")
                return
        if first not in self.fields:
            self.messages.append(f'{name}: "{first}" is not a setting{nearest(first, self.fields)}')
            return
        self.sources[first] = name
        self._put([first, *rest], text if rest else _as_value(self.fields[first].annotation, text))

    def _put(self, path: list[str], value: object) -> None:
        branch = self.values
        for step in path[:-1]:
            inner = branch.get(step)
            branch[step] = dict(inner) if isinstance(inner, Mapping) else {}
            branch = branch[step]
        branch[path[-1]] = value

    def sentence(self, loc: tuple[int | str, ...], message: str) -> str:
        """What pydantic found wrong, with the file or variable it came from. Never the value: it may be a secret."""
        path = [str(part) for part in loc]
        key = ".".join(path)
        if not path:
            return f"{self.where}: {message}; correct the settings"
        source = self.sources.get(path[0])
        if source is None:
            return f"{self.where}: {key}: {message}; set it there or as {self.prefix}{path[0].upper()}"
        return f"{source}: {key}: {message}; correct the value"


def _as_value(annotation: object, text: str) -> object:
    """The text itself, or what it says as JSON where the field holds a list, a table or a model."""
    if not text.startswith(("[", "{")) or annotation in (str, bytes, SecretStr, SecretBytes):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _secrets(annotation: object, value: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The key paths of the secrets that are set in a table, those of the models in it included."""
    if _is_secret(annotation):
        yield path
    elif isinstance(value, Mapping) and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for key, inner in value.items():
            if key in annotation.model_fields:
                yield from _secrets(annotation.model_fields[key].annotation, inner, (*path, key))


def _is_secret(annotation: object) -> bool:
    return annotation in (SecretStr, SecretBytes) or any(_is_secret(part) for part in typing.get_args(annotation))
