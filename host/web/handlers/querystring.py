"""Parse and validate query strings as a route's model or as a list's filters, sorting and paging."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from host.contracts import Query
from host.errors import BadRequest, ValidationFailed
from host.input_errors import validation_messages

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
MAX_VALUE = 1000
"""Characters of one value in a list's query string, cursors included."""

LAST_EVENT_ID = "last_event_id"
"""Says the same as the header Last-Event-ID, for clients that can send no header."""

Params = dict[str, list[str]]
Model = TypeVar("Model", bound=BaseModel)


class Listing(Protocol):
    """What a list endpoint accepts in its query string; `host.data.records.Records` is one."""

    def parse(self, arguments: Mapping[str, str]) -> Query: ...


def parse(query_string: bytes) -> Params:
    """Names and their values, decoded, in order.

    Raises:
        BadRequest: more than 100 fields, or not UTF-8.
        ValidationFailed: a value holds U+0000.
    """
    if not query_string:
        return {}
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise BadRequest("The query string cannot be read: percent-encoded UTF-8, 100 fields at most.") from None
    params: Params = {}
    for name, value in pairs:
        if "\x00" in value or "\x00" in name:
            raise ValidationFailed(details={name.replace("\x00", ""): "The character U+0000 is not allowed."})
        params.setdefault(name, []).append(value)
    return params


def once(params: Params, name: str) -> str | None:
    """The one value of a field, None when it was not sent.

    Raises:
        ValidationFailed: it was sent more than once.
    """
    values = params.get(name)
    if values is None:
        return None
    if len(values) > 1:
        raise ValidationFailed(details={name: "Give it only once."})
    return values[0]


def model_reader(model: type[Model]) -> Callable[[Params], Model]:
    """A function that reads a query string as `model`; repeated fields are for its list fields only."""
    lists = {field.alias or name for name, field in model.model_fields.items() if _is_list(field)}
    validator = model.__pydantic_validator__
    extra: Any = None if model.model_config.get("extra") == "allow" else "forbid"

    def read(params: Params) -> Model:
        arguments = {name: values if name in lists else once(params, name) for name, values in params.items()}
        try:
            value: Model = validator.validate_python(arguments, extra=extra)
        except ValidationError as error:
            raise ValidationFailed(
                details=validation_messages(error, arguments, "query", tuple(model.model_fields))
            ) from None
        for name in model.model_fields:
            number = getattr(value, name)
            if isinstance(number, float) and not math.isfinite(number):
                raise ValidationFailed(details={name: "Give a finite number."})
        return value

    return read


def _is_list(field: FieldInfo) -> bool:
    candidates = (field.annotation, *get_args(field.annotation))
    origins = [get_origin(candidate) or candidate for candidate in candidates]
    return any(isinstance(origin, type) and issubclass(origin, list | tuple | AbstractSet) for origin in origins)


def listing_reader(listing: Listing | None) -> Callable[[Params], Query]:
    """A function that reads a query string as a `Query` that `listing` allows; None: limit and cursor only.

    It raises ValidationFailed, each wrong or unknown field named.
    """
    check = listing.parse if listing is not None else _paging
    default = check({})

    def read(params: Params) -> Query:
        if not params:
            return default
        details: dict[str, str] = {}
        arguments: dict[str, str] = {}
        for name, values in params.items():
            if len(values) > 1:
                details[name[:100]] = "Give it only once."
            elif len(values[0]) > MAX_VALUE:
                details[name[:100]] = f"Give at most {MAX_VALUE} characters."
            else:
                arguments[name[:100]] = values[0]
        if details:
            raise ValidationFailed(details=details)
        return check(arguments)

    return read


def _paging(arguments: Mapping[str, str]) -> Query:
    details = {name: "There is no such field here." for name in arguments if name not in {"limit", "cursor"}}
    limit = arguments.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= MAX_LIMIT):
        details["limit"] = f"Give a number from 1 to {MAX_LIMIT}."
    if details:
        raise ValidationFailed(details=details)
    return Query(limit=int(limit), cursor=arguments.get("cursor") or None)
