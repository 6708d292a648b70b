"""Convert an action's values to small JSON without secrets that reads back from any database unchanged.

Secrets are never stored: values marked as such (pydantic's `SecretStr`, `SecretBytes`, `secret=` of the record), and,
unless declared `public=`, values with a telling name (password, token, api_key), raw bytes, and text that looks like a
token, a key or a link containing one. Cut off are text after 1,000 characters, collections after 100 items, and
nesting below 6 levels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

from pydantic import SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from host.sdk import HIDDEN, is_secret, redacted_text

LONGEST_TEXT, MOST_ITEMS, DEEPEST, MOST_BYTES = 1000, 100, 6, 32_000
_HARMLESS = re.compile(r"(?:[^\s:=/]{1,19}\s+)*[^\s:=/]{0,19}")  # words too short for tokens, no link, no pair
_SCHEME = re.compile(r"bearer|basic", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SECRET_TEXT = re.compile(r"\btk_[a-z2-7]{20,}")  # our own API keys
_EXACT = 2.0**63


def plain(values: Mapping[str, Any], public: Set[str] = frozenset(), secret: Set[str] = frozenset()) -> dict[str, Any]:
    """The values as JSON types, with secrets replaced by a placeholder.

    public, secret: names that the caller of `record` declared to be public or secret, at any depth.
    """
    reading = _Reading(public, secret)
    return {_name(str(name)): _plain(value, str(name), 1, reading) for name, value in _some(values)}


@dataclass(slots=True)
class _Reading:
    """The names declared public or secret, and how many more characters of text may be stored."""

    public: Set[str]
    secret: Set[str]
    left: int = MOST_BYTES


def text(value: str, longest: int) -> str:
    """Text that any database can hold: no control characters, no lone surrogates, at most `longest` characters."""
    cut = value[:longest]
    return cut if cut.isprintable() else _CONTROL.sub(" ", cut)


@lru_cache(4096)
def _name(name: str) -> str:
    return text(name, 200)


def _some(values: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    items = list(islice(values.items(), MOST_ITEMS))
    return items if len(values) <= MOST_ITEMS else [*items, ("…", f"{len(values) - MOST_ITEMS} more")]


def _plain(value: Any, name: str, depth: int, reading: _Reading) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if name in reading.secret or (name not in reading.public and is_secret(name, value)):
        return HIDDEN
    if isinstance(value, str):
        return _text(value if kind is str else str(value), reading, as_it_is=name in reading.public)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (SecretStr, SecretBytes, bytes, bytearray, memoryview)):
        return HIDDEN
    if isinstance(value, date):  # includes datetime
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, int):
        return int(value) if -_EXACT <= value < _EXACT else str(value)
    if isinstance(value, float):
        return _number(value)
    if depth > DEEPEST:
        return HIDDEN
    if isinstance(value, Mapping):
        return {_name(str(key)): _plain(item, str(key), depth + 1, reading) for key, item in _some(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_plain(item, name, depth + 1, reading) for item in islice(value, MOST_ITEMS)]
        return [*items, f"… {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else items
    return _plain(to_jsonable_python(value, fallback=str), name, depth + 1, reading)


def _text(value: str, reading: _Reading, *, as_it_is: bool = False) -> str:
    reading.left -= min(len(value), LONGEST_TEXT)
    if reading.left < 0:
        return "…"
    if as_it_is:
        return text(value, LONGEST_TEXT)
    if len(value) < 20 and value.isalnum():  # one word, too short for a token
        return value
    if not _HARMLESS.fullmatch(value) or _SCHEME.search(value):
        value = _SECRET_TEXT.sub(HIDDEN, redacted_text(value, LONGEST_TEXT))
    return text(value, LONGEST_TEXT + 1)


def _number(value: float) -> float | int | None:
    """The number as databases return it: without -0.0 and NaN, and 1e16 as an integer."""
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and 1e15 <= abs(value) < _EXACT else value + 0.0
