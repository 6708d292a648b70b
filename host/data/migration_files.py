"""Write migration files from the models of one app, and list model changes that no migration covers."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from copy import copy
from enum import Enum
from pathlib import Path
from typing import Any

from tortoise import fields
from tortoise.fields.base import Field
from tortoise.fields.data import CharEnumFieldInstance, IntEnumFieldInstance
from tortoise.fields.relational import BackwardFKRelation, ManyToManyFieldInstance
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.operations import AddField
from tortoise.migrations.schema_generator.state import State
from tortoise.migrations.writer import MigrationWriter, format_migration_name

from host.data.database import Database
from host.errors import ConfigurationError
from tenants.text_columns import SortKeyField

_PACKAGE = '"""The migrations of {app}, numbered and append-only."""\n'
_HEAD = '''"""Tables of {app}, step {number}."""

# ruff: noqa - written by `tenantry migrate --make`

'''


async def make(database: Database, app: str, name: str = "") -> Path | None:
    """Write the next migration of one app, comparing its models with the migrations there are.

    Models of other apps are read too, because models link to each other, but nothing is written for them. Returns None
    when nothing has changed. The package for migrations is made where it is missing.

    Raises:
        ConfigurationError: the app has no migrations package, or a new column has no value for existing rows.
    """
    if app not in database.migrations:
        raise ConfigurationError(
            f"app {app!r} has no migrations package: make migrations/__init__.py beside its models"
        )
    _ensure_package(database.migrations[app], app)
    importlib.invalidate_caches()
    missing = {each for each, package in database.migrations.items() if importlib.util.find_spec(package) is None}
    for writer in await _changes(database, without=missing):
        if writer.app_label == app:
            _refuse_unfillable(writer)
            return _write(writer, name)
    return None


def _ensure_package(package: str, app: str) -> None:
    parent, _, name = package.rpartition(".")
    spec = importlib.util.find_spec(parent)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / name / "__init__.py"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text(_PACKAGE.format(app=app), "utf-8")


async def unmade(database: Database) -> dict[str, list[str]]:
    """App -> model changes that no migration covers, such as "Add field note to Task"; empty when there are none."""
    return {
        writer.app_label: [operation.describe() for operation in writer.operations]
        for writer in await _changes(database)
    }


async def _changes(database: Database, without: Collection[str] = ()) -> list[MigrationWriter]:
    """The changes of models since the migrations; without: apps that have no migrations yet."""
    with database.bind():
        importlib.invalidate_caches()
        apps = database.context.apps
        assert apps is not None
        config = database.apps_config()
        for app in without:
            config[app].pop("migrations", None)
        return await _Detector(apps, config).changes()


def _refuse_unfillable(writer: MigrationWriter) -> None:
    """Check that each new column has a value for existing rows."""
    unfillable = [
        f"{operation.model_name}.{operation.name}"
        for operation in writer.operations
        if isinstance(operation, AddField) and not _fillable(operation.field)
    ]
    if unfillable:
        raise ConfigurationError(
            f"{', '.join(unfillable)} of {writer.app_label}: new columns that may not be null have no value for "
            "existing rows. Give each db_default=… (the value of existing rows), or null=True; nothing was written"
        )


def _fillable(field: object) -> bool:
    # A relation to many has no column of its own.
    if not isinstance(field, Field) or isinstance(field, ManyToManyFieldInstance | BackwardFKRelation):
        return True
    return field.null or field.has_db_default()


class _Detector(MigrationAutodetector):
    """Compares tables only: docstrings and the values of an enum do not need a migration."""

    def _current_state(self) -> State:
        state = super()._current_state()
        for model in state.models.values():
            model.options.pop("table_description", None)
            model.description = ""
            model.fields = {name: _plain(field) for name, field in model.fields.items()}
        return state


def _plain(field: Field[Any]) -> Field[Any]:
    """The field without its description; an enum as its stored type, so that no migration imports it."""
    default = field.default.value if isinstance(field.default, Enum) else field.default
    options = {
        "null": field.null,
        "default": default,
        "unique": field.unique,
        "db_index": field.index,
        "source_field": field.source_field,
    }
    if field.has_db_default():
        options["db_default"] = field.db_default
    if isinstance(field, CharEnumFieldInstance | SortKeyField):
        plain: Field[Any] = fields.CharField(max_length=field.max_length, **options)
    elif isinstance(field, IntEnumFieldInstance):
        plain = fields.SmallIntField(**options)
    else:
        plain = copy(field)
        plain.description = None
        return plain
    plain.model_field_name = field.model_field_name
    return plain


def _write(writer: MigrationWriter, name: str) -> Path:
    number = int(writer.name.partition("_")[0])
    if not writer.initial:
        described = writer.operations[0].describe()[:40]
        writer.name = format_migration_name(number, name or described)
    path = writer.path()
    text = _HEAD.format(app=writer.app_label, number=number) + writer.as_string()
    # Relative, so that a plugin can be packaged as a wheel together with its migrations.
    package = str(writer.migrations_module).rpartition(".")[0]
    path.write_text(text.replace(f"from {package}.", "from .."), encoding="utf-8")
    return path
