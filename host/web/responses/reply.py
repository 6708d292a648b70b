"""The Reply type (status, headers, body) and the API's JSON encoding of times, ids and decimals."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, SecretStr, TypeAdapter

HeaderPairs = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
# A time in another zone than UTC, as orjson writes it: rare, so the text is searched instead of every
# value converted here, first with a pattern that begins with a plain character, which is 15 times as fast.
_PERHAPS_ZONED = re.compile(rb":[0-9]{2}\"")
_ZONED = re.compile(rb"[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?[+-][0-9]{2}:[0-9]{2}\"")
_DURATION: TypeAdapter[timedelta] = TypeAdapter(timedelta)


@dataclass(slots=True)
class Reply:
    """A response ready to be sent; header names are lower-case. A streamed body is an iterator of bytes."""

    status: int
    headers: HeaderPairs
    body: bytes | AsyncIterator[bytes] = b""


def json_reply(document: Any, status: int) -> Reply:
    """A reply with a JSON document, marked as not to be cached."""
    body = dumps(document)
    return Reply(status, [JSON, (b"content-length", b"%d" % len(body)), NO_STORE], body)


def dumps(value: Any) -> bytes:
    """Encode a value as the API's JSON: UTC times ending in Z, ids and decimals as text, no NaN.

    Raises:
        TypeError: something in it cannot be encoded as JSON.
    """
    try:
        text = orjson.dumps(value, _other, _OPTIONS)
    except TypeError as error:
        if "key must be str" not in str(error):
            raise
        text = orjson.dumps(value, _other, _OPTIONS | orjson.OPT_NON_STR_KEYS)
    if _PERHAPS_ZONED.search(text) and _ZONED.search(text):
        keys = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
        return orjson.dumps(value, _other, _OPTIONS | keys)
    return text


def _other(value: Any) -> Any:
    """Convert a value of a type that orjson does not encode by itself."""
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return moment.isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, SecretStr):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, timedelta):
        return _DURATION.dump_python(value, mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be encoded as JSON; return plain values")


def header_value(name: str, value: str) -> bytes:
    """A header's value as bytes.

    Raises:
        ValueError: it holds a line break or NUL, with which a caller's text could add a header of its own.
    """
    if "\r" in value or "\n" in value or "\x00" in value:
        raise ValueError(f"the value of {name} holds a line break")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()
