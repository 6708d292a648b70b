"""Turn filters, searches and cursor positions into SQL conditions with their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from host.data.columns import Column
from host.data.full_text import matching
from host.data.sql_builder import Condition, SqlBuilder
from host.errors import BadRequest, NotFound, ValidationFailed
from tenants.text import address_or_text, fold_part, sort_key

SEARCH = "search"
"""The filter that looks for text in every field listed in `search`."""

FULL_TEXT = "q"
"""The filter for full-text search, in lists with an index of words."""

Conditions = tuple[tuple[Condition, ...], list[object]]


def equal(shapes: SqlBuilder, where: Mapping[str, object], missing: type[NotFound] | None = None) -> Conditions:
    """Conditions that columns equal values, or are null where the value is None.

    Raises:
        TypeError: there is no such column.
        ValidationFailed: a value has the wrong type for its column; with `missing`, that is raised instead.
    """
    conditions, values = [], []
    for name, value in where.items():
        if name not in shapes.columns or name == "tenant_id":
            raise TypeError(f"{shapes.table} has no column {name!r} to look for")
        conditions.append(Condition((name,), "null" if value is None else "exact"))
        if value is not None:
            try:
                values.append(shapes.columns[name].encode(value))
            except ValidationFailed:
                if missing is not None:
                    raise missing from None
                raise
    return tuple(conditions), values


def looked_up(name: str, text: str) -> tuple[str, str]:
    """A declared filter as (field, lookup): "lookup", or "field:lookup" where the name is not the field's."""
    field, _, lookup = text.rpartition(":")
    return field or name, lookup


def filtered(
    shapes: SqlBuilder,
    filters: Mapping[str, Any],
    lookups: Mapping[str, tuple[str, str]],
    search: tuple[str, ...],
    full_text: bool = False,
) -> Conditions:
    """The conditions of a list's filters; `lookups` gives the field and the lookup of each filter.

    Raises:
        ValidationFailed: a filter is unknown, or its value has the wrong type for its column.
    """
    conditions: list[Condition] = []
    values: list[object] = []
    for name in sorted(filters):
        value = filters[name]
        if name == SEARCH and search:
            conditions.append(Condition(search, "contains"))
            values.append(_pattern(name, value))
            continue
        if name == FULL_TEXT and full_text:
            conditions.append(Condition((), "words"))
            values.append(_words(shapes, name, value))
            continue
        if name not in lookups:
            raise ValidationFailed(details={name: "is not something this list can be filtered by"})
        field, lookup = lookups[name]
        if lookup == "pattern" and "*" not in str(value):
            lookup = "exact"  # which an index can serve in the list's order
        conditions.append(Condition((field,), lookup))
        try:
            values.append(_value(shapes, field, lookup, value))
        except ValidationFailed as exc:  # under the name used in the request
            raise ValidationFailed(details=dict.fromkeys([name], *exc.details.values())) from exc
    return tuple(conditions), values


def behind(shapes: SqlBuilder, name: str, position: Sequence[object]) -> list[object]:
    """The values of a cursor's position in a list ordered by `name`; a null one is left out.

    Raises:
        BadRequest: it does not have one value per column of the order.
    """
    names = ["id"] if name == "id" else [name, "id"]
    if len(position) != len(names):
        raise BadRequest("The cursor does not belong to this list; begin again without it.")
    if name in shapes.sort_keys:
        names, position = [shapes.sort_keys[name], "id"], [sort_key(str(position[0])), position[1]]
    return [
        _encoded(shapes.columns[each], value) for each, value in zip(names, position, strict=True) if value is not None
    ]


def _value(builder: SqlBuilder, name: str, lookup: str, value: Any) -> object:
    column = builder.columns[name]
    if lookup == "contains":
        return _pattern(name, value)
    if lookup == "address":
        return column.encode(address_or_text(_plain(name, value)))
    if lookup == "has":
        return _plain(name, value)
    if lookup == "pattern":
        text = _plain(name, value)
        return _escaped(text).replace("*", "%") if builder.postgres else re.sub(r"[\[?]", r"[\g<0>]", text)
    if lookup == "in":
        parts = value.split(",") if isinstance(value, str) else list(value)
        encoded = [_encoded(column, part) for part in parts]
        return encoded if builder.postgres else orjson.dumps(encoded).decode()
    return _encoded(column, value)


def _encoded(column: Column, value: Any) -> object:
    return column.encode(column.parse(value) if isinstance(value, str) else value)


def _pattern(name: str, text: object) -> str:
    return f"%{_escaped(fold_part(_plain(name, text)))}%"


def _words(builder: SqlBuilder, name: str, text: object) -> str:
    try:
        return matching(_plain(name, text), postgres=builder.postgres)
    except ValueError as error:
        raise ValidationFailed(details={name: str(error)}) from error


def _plain(name: str, text: object) -> str:
    if not isinstance(text, str) or "\x00" in text:
        raise ValidationFailed(details={name: "must be text"})
    return text


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
