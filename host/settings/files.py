"""Read TOML files as pydantic models; one error lists all that is wrong, each with file, key and remedy."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from host.errors import ConfigurationError, refuse
from host.input_errors import KeyPath, configuration_messages, fields_of

Kind = TypeVar("Kind")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigurationError: it is missing, unreadable or not TOML; names the file and, for syntax, the line.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file; create it") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}; correct that line") from None


def read_file(path: Path, kind: type[Kind]) -> Kind:
    """The file as one `kind`, whose field `path` says where it was read.

    Raises:
        ConfigurationError: lists everything that is wrong with it.
    """
    value: Kind = _validated(path, _with(path, (), read_toml(path), "path", str(path)), kind, "path")
    return value


def read_tables(path: Path, kind: type[Kind], key: str = "id", others: str = "") -> tuple[Kind, ...]:
    """Each table of the file as one `kind`, whose field `key` is the table's name; in the file's order.

    others: the field that takes sub-tables which `kind` has no field for; they are checked by whoever they belong to.

    Raises:
        ConfigurationError: lists everything that is wrong with any of them.
    """
    read = {name: _gathered(table, kind, others) if others else table for name, table in read_toml(path).items()}
    tables = {name: _with(path, (name,), table, key, name) for name, table in read.items()}
    return tuple(_validated(path, tables, dict[str, kind], key).values())  # type: ignore[valid-type]


def _gathered(table: Any, kind: Any, others: str) -> Any:
    """The table with those of its sub-tables that `kind` has no field for in one, named `others`."""
    if not isinstance(table, dict):
        return table
    known = fields_of(kind).keys() - {others}
    apart = {name: value for name, value in table.items() if isinstance(value, dict) and name not in known}
    return {name: value for name, value in table.items() if name not in apart} | {others: apart}


def _with(path: Path, where: KeyPath, table: Any, key: str, value: str) -> Any:
    if not isinstance(table, dict):
        return table
    if key in table:
        raise ConfigurationError(f"{place(path, (*where, key))}: remove it; it is {value!r} by its place")
    return {**table, key: value}


def _validated(path: Path, values: Mapping[str, Any], kind: Any, added: str) -> Any:
    try:
        return TypeAdapter(kind).validate_json(as_json(values), strict=True)
    except ValidationError as error:
        messages = configuration_messages(error, values, kind)
        refuse(
            [
                f"{place(path, where[:-1] if where[-1:] == (added,) else where)}: {message}"
                for where, message in messages.items()
            ]
        )
        raise


def as_json(values: Mapping[str, Any]) -> bytes:
    """Values of a TOML file as JSON, for strict validation: text is no number, but a list may be a tuple."""
    return orjson.dumps(values, default=str)


def place(file: object, path: Iterable[str]) -> str:
    """A file and a key in it, for messages: `plans.toml: free.limits."mail.rate"`."""
    keys = [key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False) for key in path]
    return f"{file}: {'.'.join(keys)}" if keys else str(file)
