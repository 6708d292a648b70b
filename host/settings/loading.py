"""Read config/settings.toml and the environment into `Settings`; errors name the place, the key and the fix."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from host.errors import ConfigurationError
from host.input_errors import sentence
from host.settings.sections import OAuthProvider, Settings

DEFAULT_FILE = "config/settings.toml"
PREFIX = "TENANTRY_"
SHORT_NAMES = {
    "PORT": ("server", "port"),
    "DATABASE_URL": ("database", "url"),
    "REDIS_URL": ("redis", "url"),
}
NOT_SETTINGS = frozenset({"TENANTRY_CONFIG", "TENANTRY_TRACEBACK"})
"""Variables of ours that the command line reads for itself."""

Path_ = tuple[str, ...]
Found = dict[Path_, tuple[Any, str]]
"""Key path -> (checked value, where it was read)."""


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
    values = _from_file(file)
    values.update(_from_environment(variables, plugin_ids))
    root = file.absolute().parent.parent
    return _build(values, root)


def _from_file(file: Path) -> Found:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{file} is missing: `tenantry init` writes a new deployment here; or run from the folder of yours, or "
            "name the file with --config or TENANTRY_CONFIG"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    values: Found = {}
    for key_path, value in _leaves(document):
        where = f"{file}: {'.'.join(key_path)}"
        field = _field(key_path, where)
        if _is_secret(field) and value:
            raise ConfigurationError(
                f"{where} is a secret and must not stand in a file: set {_variable(key_path)}, "
                f"or {_variable(key_path)}_FILE to a file that holds nothing else"
            )
        values[key_path] = (_checked(field, orjson.dumps(value, default=str), where, strict=True), where)
    return values


def _leaves(document: Mapping[str, Any]) -> Iterator[tuple[Path_, Any]]:
    for section, content in document.items():
        if not isinstance(content, dict):
            yield (section,), content
        elif section == "oauth":
            for provider, keys in content.items():
                entries = keys.items() if isinstance(keys, dict) else ((str(keys), None),)
                yield from (((section, provider, key), value) for key, value in entries)
        else:
            yield from (((section, key), value) for key, value in content.items())
            if not content:
                _section(section, section)


def _from_environment(env: Mapping[str, str], plugin_ids: Collection[str] | None) -> Found:
    values: Found = {}
    for name in sorted(env, key=lambda each: (each.startswith(PREFIX), each)):  # the long names come last and win
        key_path, from_file = _key_path(name)
        if not key_path or (len(key_path) > 1 and _belongs_to_a_plugin(key_path[0], plugin_ids)):
            continue
        field = _field(key_path, name)
        text = _read_secret_file(name, env[name]) if from_file else env[name]
        values[key_path] = (_checked(field, text, name), name)
    return values


def _key_path(name: str) -> tuple[Path_, bool]:
    """The key that a variable sets, and whether the variable names a file that holds the value."""
    short = name.removesuffix("_FILE")
    if short in SHORT_NAMES:
        return SHORT_NAMES[short], short != name
    if not name.startswith(PREFIX) or name in NOT_SETTINGS:
        return (), False
    parts = tuple(name[len(PREFIX) :].lower().split("__"))
    return (*parts[:-1], parts[-1].removesuffix("_file")), parts[-1].endswith("_file")


def _belongs_to_a_plugin(section: str, plugin_ids: Collection[str] | None) -> bool:
    if section in Settings.model_fields and section != "root":
        return False
    return plugin_ids is None or section in plugin_ids


def _read_secret_file(variable: str, file: str) -> str:
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{variable} names a file that cannot be read: {error}") from error


def _field(key_path: Path_, where: str) -> FieldInfo:
    if len(key_path) == 1 and key_path[0] not in Settings.model_fields:
        raise ConfigurationError(f"{where} is unknown: {_without_section(key_path[0])}")
    model = _section(key_path[0], where)
    expected = 3 if model is OAuthProvider else 2
    if len(key_path) != expected:
        shape = "__".join(["SECTION", "NAME", "KEY"] if expected == 3 else ["SECTION", "KEY"])
        raise ConfigurationError(f"{where} is not a setting: write it as {PREFIX}{shape}, or [section] and key")
    key = key_path[-1]
    if key not in model.model_fields:
        raise ConfigurationError(f"{where} is unknown: {_nearest(key, model.model_fields)}")
    return model.model_fields[key]


def _section(name: str, where: str) -> type[BaseModel]:
    sections = {key: info.annotation for key, info in Settings.model_fields.items() if key != "root"}
    if name == "oauth":
        return OAuthProvider
    model = sections.get(name)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ConfigurationError(f"{where} is unknown: {_nearest(name, sections)}")
    return model


def _without_section(key: str) -> str:
    """The remedy for a key whose section was forgotten or joined on with one underscore."""
    candidates: dict[str, Path_] = {}
    for section, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            for name in info.annotation.model_fields:
                candidates |= {name: (section, name), f"{section}_{name}": (section, name)}
    close = difflib.get_close_matches(key, candidates, n=1, cutoff=0.6)
    if not close:
        return "every setting has a section; config/settings.toml names them all"
    return f"did you mean {'.'.join(candidates[close[0]])} ({_variable(candidates[close[0]])})?"


def _nearest(wrong: str, right: Collection[str]) -> str:
    close = difflib.get_close_matches(wrong, right, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(right))}"


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr


def _variable(key_path: Path_) -> str:
    return PREFIX + "__".join(key_path).upper()


def _checked(field: FieldInfo, value: str | bytes, where: str, *, strict: bool = False) -> Any:
    """`value` as the field's type; `strict` for a file, where true is not 1 and "8000" is not 8000."""
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        return adapter.validate_json(value, strict=True) if strict else adapter.validate_python(value)
    except ValidationError as error:
        problem = sentence(error.errors(include_url=False)[0])
        shown = "" if _is_secret(field) else f" is {value.decode() if isinstance(value, bytes) else repr(value)}"
        raise ConfigurationError(f"{where}{shown}: {problem}") from error


def _build(values: Found, root: Path) -> Settings:
    tree: dict[str, Any] = {"root": root}
    for key_path, (value, _) in values.items():
        branch = tree
        for part in key_path[:-1]:
            branch = branch.setdefault(part, {})
        branch[key_path[-1]] = value
    tree.setdefault("data", {})
    tree["data"]["dir"] = root / tree["data"].get("dir", ".tenantry")
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise ConfigurationError(_explained(error, values)) from error


def _explained(error: ValidationError, values: Found) -> str:
    """The complaints that concern more than one key, each with the places the section was read from."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        key_path = tuple(str(part) for part in problem["loc"])
        places = sorted({where for path, (_, where) in values.items() if path[: len(key_path)] == key_path})
        remedy = f" (read from {', '.join(places)})" if places else f" (set {_variable(key_path)})"
        lines.append(f"{'.'.join(key_path)}: {sentence(problem)}{remedy}")
    return "\n".join(lines)
