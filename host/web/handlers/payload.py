"""Read and validate JSON request bodies: content type, size, depth, and values that no database can store."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from host.errors import BadRequest, UnsupportedMediaType, ValidationFailed
from host.input_errors import validation_messages
from host.web.server.request import TenantryRequest

MAX_DEPTH = 64
"""Levels of arrays and objects within one another."""

_INT64 = range(-(2**63), 2**63)
# Only bodies with a NUL escape or a 19-digit run can hold what a database cannot: the others skip the full check.
_SUSPECT = re.compile(rb"\\u0000|[0-9]{19}")
_JSON_TYPE = re.compile(r"^application/(?:json|[a-z0-9.!#$&^_-]+\+json)$")
Model = TypeVar("Model", bound=BaseModel)


def body_reader(model: type[Model]) -> Callable[[TenantryRequest], Any]:
    """An async function that reads a request's body as `model`: JSON types as they are, unknown fields refused.

    It raises BadRequest (no JSON, too deep, late), PayloadTooLarge, UnsupportedMediaType and ValidationFailed.
    """
    validator = model.__pydantic_validator__
    strict = None if "strict" in model.model_config else True
    extra: Any = None if model.model_config.get("extra") == "allow" else "forbid"

    async def read(request: TenantryRequest) -> Model:
        raw = await read_json(request)
        try:
            value: Model = validator.validate_json(raw, strict=strict, extra=extra)
        except ValidationError as error:
            messages = validation_messages(error, orjson.loads(raw), "body", tuple(model.model_fields))
            raise ValidationFailed(details=messages) from None
        return value

    return read


async def read_json(request: TenantryRequest) -> bytes:
    """The body's bytes, checked to be acceptable JSON.

    Raises:
        BadRequest, PayloadTooLarge, UnsupportedMediaType, ValidationFailed: see `body_reader`.
    """
    headers = request.raw_headers
    content_type = headers.get(b"content-type")
    if content_type is None and not request.may_have_body:
        raise BadRequest("The request has no body; send a JSON object.")
    if refusal := _refused_type(content_type or b""):
        raise UnsupportedMediaType(refusal)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    raw = await request.body.read()
    check_json(raw)
    return raw


def check_json(raw: bytes) -> None:
    """Raise unless `raw` is JSON in UTF-8, at most MAX_DEPTH deep, without NUL and with integers of 64 bits.

    Raises:
        BadRequest: it cannot be read at all.
        ValidationFailed: a value in it cannot be kept by any database.
    """
    if not raw.strip():
        raise BadRequest("The request has no body; send a JSON object.")
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(_unreadable(raw, error)) from None
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        for depth, _, _ in _walk(parsed):
            if depth > MAX_DEPTH:
                raise BadRequest(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    if _SUSPECT.search(raw):
        _check_values(raw, parsed)


def _check_values(raw: bytes, parsed: Any) -> None:
    for _, path, value in _walk(parsed):
        if isinstance(value, str) and "\x00" in value:
            raise ValidationFailed(details={path or "body": "The character U+0000 is not allowed."})
        if isinstance(value, dict) and any("\x00" in key for key in value):
            raise ValidationFailed(details={path or "body": "The character U+0000 is not allowed in a name."})
        if isinstance(value, int) and value not in _INT64:
            raise ValidationFailed(details={path or "body": "Integers have at most 64 bits."})
    # orjson turns integers beyond 64 bits into floats; only the standard parser still shows them as they were sent.
    json.loads(raw, parse_int=_small_int)


def _small_int(digits: str) -> int:
    if len(digits) > 20 or int(digits) not in _INT64:
        raise ValidationFailed(details={"body": "Integers have at most 64 bits."})
    return int(digits)


def _walk(value: Any) -> Iterator[tuple[int, str, Any]]:
    """Every value with its depth (scalars: that of their container) and its path, without recursion."""
    pending: list[tuple[int, str, Any]] = [(1, "", value)]
    while pending:
        depth, path, current = pending.pop()
        yield (depth if isinstance(current, dict | list) else depth - 1), path, current
        prefix = f"{path}." if path else ""
        if isinstance(current, dict):
            pending.extend((depth + 1, f"{prefix}{key}"[:200], item) for key, item in current.items())
        elif isinstance(current, list):
            pending.extend((depth + 1, f"{prefix}{index}"[:200], item) for index, item in enumerate(current))


def _unreadable(raw: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return "The body is not UTF-8."
    reason = str(error.msg)
    if "depth" in reason or "recursion" in reason:
        return f"The JSON is nested more than {MAX_DEPTH} levels deep."
    return f"The body is not JSON: {reason} (line {error.lineno}, column {error.colno})."


@lru_cache(maxsize=256)
def _refused_type(content_type: bytes) -> str:
    """Why a Content-Type is refused; "" when it is not."""
    kind, *parameters = content_type.decode("latin-1").lower().split(";")
    if not _JSON_TYPE.match(kind.strip()):
        return "Send the body as JSON, with the header Content-Type: application/json."
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            return "Send the JSON in UTF-8."
    return ""
