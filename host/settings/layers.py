"""Lay environment variables over a table of a TOML file and read both as one pydantic model.

Own code instead of pydantic-settings, which ignores a misspelt variable, does not say which file or variable a wrong
value came from, has no `…_FILE` for single secrets, and takes 60 ms of processor time to import on top of pydantic
(`python -X importtime -c 'import pydantic, pydantic_settings'`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from host.input_errors import KeyPath, configuration_messages, fields_of, nearest_key, type_at
from host.settings.files import as_json, place

Model = TypeVar("Model", bound=BaseModel)


@dataclass(slots=True)
class Layers(Generic[Model]):
    """One model's values, where each was read, and what is wrong with them.

    section: the table of the file that holds them. prefix: what their variables begin with, such as "TENANTRY_MAIL__".
    reveal: whether messages may show a wrong value that is not declared as a secret. messages: place -> what is wrong.
    """

    model: type[Model]
    file: Path
    section: KeyPath = ()
    prefix: str = "TENANTRY_"
    reveal: bool = True
    values: dict[str, Any] = field(default_factory=dict)
    variables: dict[KeyPath, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def take_table(self, table: Mapping[str, Any], *, strict: bool) -> None:
        """The file's values, of which none may be a secret. `strict`: each has its type, 8000 is not "8000"."""
        self.values = dict(table)
        for path in _secrets(self.model, table):
            self.messages[self._source(path)] = (
                f"is a secret; remove it here and set {self._variable(path)}, or {self._variable(path)}_FILE to a file "
                "that holds nothing else"
            )
        if strict:
            try:
                self.model.model_validate_json(as_json(table), strict=True, extra=self._extra)
            except ValidationError as error:
                self._complain(error, complete=False)

    def take_variable(self, name: str, path: KeyPath, text: str) -> None:
        """A variable's value, over what was taken before; where its name ends in `_FILE`, that of the file it names."""
        names_file = type_at(self.model, path) is None and path[-1].endswith("_file")
        if names_file:
            path = (*path[:-1], path[-1].removesuffix("_file"))
        kind = type_at(self.model, path)
        if kind is None:
            self.messages[name] = f"there is no such setting{self._nearest_variable(path)}"
            return
        if names_file:
            try:
                text = Path(text).read_text("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                self.messages[name] = f"the file {text} cannot be read ({error}); correct the path"
                return
        self.variables[path] = name
        branch = self.values
        for key in path[:-1]:
            inner = branch.get(key)
            branch[key] = dict(inner) if isinstance(inner, Mapping) else {}
            branch = branch[key]
        branch[path[-1]] = _as_value(kind, text)

    def read(self) -> Model | None:
        """The model of all values; None when something is wrong, which `complaints` says then."""
        try:
            model = self.model.model_validate(self.values, extra=self._extra)
        except ValidationError as error:
            self._complain(error, complete=True)
            return None
        return None if self.messages else model

    @property
    def complaints(self) -> list[str]:
        """What is wrong, each with its place, key and remedy."""
        return [f"{where}: {message}" for where, message in self.messages.items()]

    @property
    def _extra(self) -> Any:
        return None if self.model.model_config.get("extra") == "allow" else "forbid"

    def _complain(self, error: ValidationError, *, complete: bool) -> None:
        for path, message in configuration_messages(
            error, self.values, self.model, reveal=self._may_show, complete=complete
        ).items():
            also = f", or set {self._variable(path)}" if message.startswith("is missing") else self._also_in(path)
            self.messages.setdefault(self._source(path), message + also)

    def _may_show(self, path: KeyPath) -> bool:
        kind = type_at(self.model, path)
        may_hold_secrets = _is_secret(kind) or any(fields_of(part) for part in (kind, *get_args(kind)))
        return self.reveal and not may_hold_secrets

    def _source(self, path: KeyPath) -> str:
        """The variable or else the file that a value was read from, and its key."""
        parts = (path[:length] for length in range(len(path), 0, -1))
        variable = next((self.variables[part] for part in parts if part in self.variables), None)
        return place(variable or self.file, (*self.section, *path))

    def _also_in(self, path: KeyPath) -> str:
        """Of a table that is wrong as a whole: the variables that set parts of it."""
        below = ", ".join(sorted(name for key, name in self.variables.items() if key[: len(path)] == path != key))
        return f" (here and in {below})" if below else ""

    def _variable(self, path: KeyPath) -> str:
        return self.prefix + "__".join(path).upper()

    def _nearest_variable(self, path: KeyPath) -> str:
        depth = next(length for length in range(len(path)) if type_at(self.model, path[: length + 1]) is None)
        kind = type_at(self.model, path[:depth])
        rest = path[depth + 1 :]
        return nearest_key(
            kind, path[depth], lambda key: self._variable((*path[:depth], *key, *(rest if len(key) == 1 else ())))
        )


def _as_value(kind: Any, text: str) -> object:
    """The text itself, or what it says as JSON or between commas where the field holds a list or table."""
    if kind in (str, bytes, SecretStr, SecretBytes):
        return text
    with suppress(ValueError):
        if text.startswith(("[", "{")):
            return json.loads(text)
    is_list = get_origin(kind) in (list, tuple, set, frozenset)
    return [item.strip() for item in text.split(",") if item.strip()] if is_list else text


def _secrets(kind: Any, value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The key paths of the secrets that are set in a table, those of the tables in it included."""
    if _is_secret(kind) and value:
        yield path
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets(type_at(kind, (key,)), inner, (*path, key))


def _is_secret(kind: object) -> bool:
    return kind in (SecretStr, SecretBytes) or any(_is_secret(part) for part in get_args(kind))
