"""Build the OpenAPI schemas of request and response bodies from pydantic models, Records and type hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Protocol, cast, get_args, get_origin, runtime_checkable

from pydantic import BaseModel, TypeAdapter
from tortoise import fields
from tortoise.fields.base import Field

Schema = dict[str, Any]

_FIELDS: tuple[tuple[type[Field[Any]], Schema], ...] = (
    (fields.UUIDField, {"type": "string", "format": "uuid"}),
    (fields.DatetimeField, {"type": "string", "format": "date-time"}),
    (fields.DateField, {"type": "string", "format": "date"}),
    (fields.BooleanField, {"type": "boolean"}),
    (fields.FloatField, {"type": "number"}),
    (fields.DecimalField, {"type": "string", "format": "decimal"}),
    (fields.SmallIntField, {"type": "integer"}),
    (fields.BigIntField, {"type": "integer"}),
    (fields.IntField, {"type": "integer"}),
    (fields.BinaryField, {"type": "string", "format": "byte"}),
    (fields.JSONField, {}),
)


@runtime_checkable
class Rows(Protocol):
    """Rows with named fields and filters; `host.data.records.Records` is one."""

    model: Any
    filters: Mapping[str, str]
    sorts: Sequence[str]
    default_sort: str
    search: Sequence[str]
    full_text: bool

    @property
    def names(self) -> Sequence[str]: ...

    def field(self, name: str) -> Field[Any]: ...


class Components:
    """The document's `components.schemas`; each schema is added when it is first referred to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._owners: dict[str, Any] = {}

    def of(self, plugin: str, shape: Any, mode: str = "serialization") -> Schema:
        """The schema of a model, a Records, or any other type; models are referred to by name.

        mode: "validation" for request bodies, "serialization" for responses.
        """
        if shape is None:
            return {}
        if isinstance(shape, Rows):
            return self._refer(plugin, shape.model.__name__, shape, lambda: row_schema(shape))
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            name = shape.__name__ if mode == "validation" else f"{shape.__name__}Answer"
            return self._refer(plugin, name, (shape, mode), lambda: self._model(plugin, shape, mode))
        if get_origin(shape) in (list, tuple, Sequence):
            inner = [item for item in get_args(shape) if item is not Ellipsis]
            return {"type": "array", "items": self.of(plugin, inner[0] if inner else None, mode)}
        return self._generated(plugin, TypeAdapter(shape).json_schema(mode=cast(Any, mode), ref_template=_TEMPLATE))

    def _refer(self, plugin: str, name: str, owner: Any, make: Any) -> Schema:
        key = f"{plugin}.{name}"
        number = 2
        while key in self._owners and self._owners[key] != owner:  # same name, another shape
            key, number = f"{plugin}.{name}{number}", number + 1
        if key not in self._owners:
            self._owners[key] = owner
            self.schemas[key] = {}
            self.schemas[key] = make()
        return {"$ref": f"#/components/schemas/{key}"}

    def _model(self, plugin: str, model: type[BaseModel], mode: str) -> Schema:
        schema = self._generated(plugin, model.model_json_schema(mode=cast(Any, mode), ref_template=_TEMPLATE))
        if mode == "validation" and schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
        return schema

    def _generated(self, plugin: str, schema: Schema) -> Schema:
        """A schema of pydantic's with its definitions moved to the document's components."""
        definitions = schema.pop("$defs", {})
        renamed = {f"{_PREFIX}{name}": f"#/components/schemas/{plugin}.{name}" for name in definitions}
        for name, definition in definitions.items():
            self.schemas.setdefault(f"{plugin}.{name}", _renamed(definition, renamed))
        return cast(Schema, _renamed(schema, renamed))


_PREFIX = "#/$defs/"
_TEMPLATE = _PREFIX + "{model}"


def _renamed(value: Any, references: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: references.get(item, item) if key == "$ref" and isinstance(item, str) else _renamed(item, references)
            for key, item in value.items()
        }
    return [_renamed(item, references) for item in value] if isinstance(value, list) else value


def row_schema(rows: Rows) -> Schema:
    """The schema of one row."""
    properties = {name: field_schema(rows.field(name)) for name in rows.names}
    return {"type": "object", "properties": properties, "required": list(properties)}


def field_schema(field: Field[Any]) -> Schema:
    """The schema of one column's values."""
    choices: type[Enum] | None = getattr(field, "enum_type", None)
    if choices is not None:
        values = [choice.value for choice in choices]
        schema: Schema = {"type": "integer" if isinstance(values[0], int) else "string", "enum": values}
    else:
        schema = dict(next((column for kind, column in _FIELDS if isinstance(field, kind)), {"type": "string"}))
        longest = getattr(field, "max_length", None)
        if schema == {"type": "string"} and isinstance(longest, int):
            schema["maxLength"] = longest
    if field.null and "type" in schema:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    if field.description:
        schema["description"] = field.description
    return schema


_FILTERS = {
    "gt": "Only rows whose `{field}` is after this.",
    "gte": "Only rows whose `{field}` is this or after it.",
    "lt": "Only rows whose `{field}` is before this.",
    "lte": "Only rows whose `{field}` is this or before it.",
    "in": "Only rows whose `{field}` is this, or one of these with commas between them.",
    "contains": "Only rows whose `{field}` holds this, whatever the letter case.",
    "pattern": "Only rows whose `{field}` is this; `*` stands for any text.",
    "has": "Only rows with this among their `{field}`.",
    "null": "Only rows without a value of `{field}` (true), or only those with one (false).",
}


def filter_description(rows: Rows, name: str) -> str:
    """What one filter in a list's query string does, in a sentence."""
    field, _, lookup = ("", *rows.filters[name].rpartition(":"))[-3:]
    said = _FILTERS.get(lookup, "Only rows with this `{field}`.").format(field=field or name)
    is_time = "date-time" in str(filter_schema(rows, name).get("format"))
    return f"{said} A date means its first moment in UTC." if is_time else said


def filter_schema(rows: Rows, name: str) -> Schema:
    """The schema of one filter in a list's query string."""
    lookup = rows.filters[name].rpartition(":")[2]
    if lookup in {"in", "contains"}:
        return {"type": "string", "maxLength": 1000}
    if lookup == "null":
        return {"type": "boolean"}
    schema = field_schema(rows.field(name))
    schema.pop("description", None)
    kind = schema.get("type")
    if isinstance(kind, list):
        schema["type"] = kind[0]
        if "enum" in schema:
            schema["enum"] = [value for value in schema["enum"] if value is not None]
    return schema
