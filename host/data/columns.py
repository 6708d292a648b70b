"""Encode, decode and validate the values of a model's columns, and parse them from a query string."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

import orjson
from tortoise import fields
from tortoise.exceptions import ValidationError
from tortoise.fields.base import Field
from tortoise.models import Model
from tortoise.validators import MaxLengthValidator

from host.errors import ValidationFailed
from host.input_errors import fault_of
from host.times import in_utc, read_time

Decode = Callable[[Any], Any]

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")

BY_DATABASE = object()
"""Stands for a value that the database fills in from its own default."""

_RANGES = (  # the widest first, whatever the classes inherit from each other
    (fields.BigIntField, 2**63),
    (fields.SmallIntField, 2**15),
    (fields.IntField, 2**31),
)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_PLAIN = (fields.CharField, fields.TextField, fields.IntField, fields.BigIntField, fields.SmallIntField)
_NATIVE = (*_PLAIN, fields.UUIDField, fields.BooleanField, fields.DatetimeField, fields.DateField)
_TAKEN = {fields.UUIDField: UUID, fields.BooleanField: bool, fields.DatetimeField: datetime}
_DRIVER_GIVES = {
    "postgres": (*_NATIVE, fields.FloatField, fields.DecimalField, fields.BinaryField),
    "sqlite": (*_PLAIN, fields.FloatField, fields.BinaryField),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a model for one database; `decode` is None where the driver gives the Python type itself."""

    name: str
    column: str
    field: Field[Any]
    dialect: str
    decode: Decode | None
    plain: int = -1  # the longest text in characters where only the length is validated; -1 for other columns
    as_it_is: type[Any] | None = None  # the type passed to the driver unchanged; of times, those in UTC

    @property
    def comes_back_as_given(self) -> bool:
        """Whether the database returns exactly what it was given, without rounding or padding it."""
        return not isinstance(self.field, fields.DecimalField | fields.TimeDeltaField | fields.TimeField)

    def encode(self, value: Any) -> Any:
        """The value as the driver expects it.

        Raises:
            ValidationFailed: it has the wrong type, is too long or out of range.
        """
        if value is None or (type(value) is self.as_it_is and (self.as_it_is is not datetime or value.tzinfo is UTC)):
            return value
        if type(value) is str and len(value) <= self.plain and value.isascii() and "\x00" not in value:
            return value
        try:
            return self._encode(value)
        except (ValidationError, ValueError, TypeError, ArithmeticError) as exc:
            message = (
                fault_of(exc) if type(exc) is ValueError and str(exc).startswith("must") else f"must be {self._kind}"
            )
            raise ValidationFailed(details={self.name: message}) from exc

    def _encode(self, value: Any) -> Any:
        field = self.field
        if isinstance(field, fields.UUIDField):
            uuid = value if isinstance(value, UUID) else UUID(str(value))
            return uuid if self.dialect == "postgres" else str(uuid)
        if isinstance(field, fields.JSONField):
            text = orjson.dumps(value).decode()
            if "\\u0000" in text:
                raise ValueError("must not contain the character U+0000")
            return text
        value = field.to_db_value(value, Model)
        if isinstance(value, str):
            if "\x00" in value:
                raise ValueError("must not contain the character U+0000")
            value.encode()  # a lone surrogate is no text
        elif isinstance(value, datetime):
            value = value.astimezone(UTC)
        elif isinstance(value, int) and not isinstance(value, bool):
            _check_range(field, value)
        return value

    @property
    def _kind(self) -> str:
        longest = getattr(self.field, "max_length", None)
        return f"text of at most {longest} characters" if longest and not _choices(self.field) else _kind(self.field)

    def default(self, now: datetime) -> object:
        """The value of a new row when none is given; `BY_DATABASE` when the INSERT should leave the column out.

        Raises:
            TypeError: a value must be given.
        """
        field = self.field
        if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
            return now
        if field.generated or (field.default is None and field.has_db_default()):
            return BY_DATABASE
        if field.default is None and not field.null:
            raise TypeError(f"{self.name} has no default: give a value")
        return field.default() if callable(field.default) else field.default

    def parse(self, text: str) -> Any:
        """The Python value of a query string parameter.

        Raises:
            ValidationFailed: it is not a value of the field's type.
        """
        try:
            return _parse(self.field, text)
        except (ValueError, KeyError, InvalidOperation) as exc:
            message = str(exc) if isinstance(self.field, fields.DatetimeField) else f"must be {self._kind}"
            raise ValidationFailed(details={self.name: message}) from exc


def columns(model: type[Model], dialect: str) -> Mapping[str, Column]:
    """Every stored field of a model, by the field's name."""
    meta = model._meta
    return {
        name: Column(name, column, field, dialect, _decoder(field, dialect), _plain(field), _as_it_is(field, dialect))
        for name, column in meta.fields_db_projection.items()
        for field in (meta.fields_map[name],)
    }


def _plain(field: Field[Any]) -> int:
    only_length = type(field) is fields.CharField and [type(each) for each in field.validators] == [MaxLengthValidator]
    return field.max_length if only_length and isinstance(field, fields.CharField) else -1


def _as_it_is(field: Field[Any], dialect: str) -> type[Any] | None:
    return _TAKEN.get(type(field)) if dialect == "postgres" and not field.validators else None


def _decoder(field: Field[Any], dialect: str) -> Decode | None:
    if isinstance(field, fields.JSONField):
        return orjson.loads
    # An exact class or one of the ORM's own: a plugin's subclass may convert in its own way.
    ours = type(field).__module__.startswith("tortoise.")
    if ours and isinstance(field, _DRIVER_GIVES[dialect]):
        return None
    if ours and isinstance(field, fields.UUIDField):
        return UUID
    if ours and isinstance(field, fields.BooleanField):
        return bool
    if ours and isinstance(field, fields.DatetimeField):
        return _utc
    return field.to_python_value


def _utc(text: str) -> datetime:
    return in_utc(datetime.fromisoformat(text))


def _check_range(field: Field[Any], value: int) -> None:
    for kind, bound in _RANGES:
        if isinstance(field, kind):
            if not -bound <= value < bound:
                raise ValueError(f"must be between {-bound} and {bound - 1}")
            return


def _parse(field: Field[Any], text: str) -> Any:
    if isinstance(field, fields.UUIDField):
        return UUID(text)
    if isinstance(field, fields.BooleanField):
        return _BOOLEANS[text.lower()]
    if isinstance(field, fields.DatetimeField):
        return read_time(text)
    if isinstance(field, fields.DateField):
        return date.fromisoformat(text)
    if isinstance(field, fields.DecimalField | fields.FloatField):
        number = Decimal(text) if isinstance(field, fields.DecimalField) else float(text)
        if not isfinite(number) or not text.isascii() or "_" in text:
            raise ValueError
        return number
    if isinstance(field, fields.IntField | fields.BigIntField | fields.SmallIntField):
        if not _INTEGER.fullmatch(text):
            raise ValueError
        _check_range(field, int(text))
        return int(text)
    choices = _choices(field)
    return choices(text).value if choices is not None else text


def _choices(field: Field[Any]) -> type[Enum] | None:
    enum_type: type[Enum] | None = getattr(field, "enum_type", None)
    return enum_type


def _kind(field: Field[Any]) -> str:
    choices = _choices(field)
    if choices is not None:
        return "one of " + ", ".join(str(each.value) for each in choices)
    return {
        "UUIDField": "a UUID",
        "BooleanField": "true or false",
        "DatetimeField": "a time such as 2026-01-31T09:00:00Z",
        "TextField": "text",
        "JSONField": "JSON",
        "DateField": "a date such as 2026-01-31",
        "IntField": "a whole number of at most 32 bits",
        "BigIntField": "a whole number of at most 64 bits",
    }.get(type(field).__name__, "a number")
