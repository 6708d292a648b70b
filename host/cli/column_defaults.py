"""Translate the default of a database's column into an argument of an ORM field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

_NOW = re.compile(r"\(?(?:now\(\)|current_timestamp|datetime\('now'\)|CURRENT_TIMESTAMP.*)\)?", re.IGNORECASE)
_TEXT = re.compile(r"'((?:[^']|'')*)'")


def default_argument(default: str, kind: str) -> str:
    """The argument for a field of this class, such as `default=1`; "" for a default that Python cannot say.

    default: as the database's catalogue shows it, such as `'new'::character varying`.
    """
    text = re.sub(r"::[\w\s\"\[\]().]+$", "", default).strip()
    if kind == "DatetimeField" and _NOW.fullmatch(text):
        return "auto_now_add=True"
    translate = _LITERALS.get(kind)
    value = translate(text) if translate else None
    return "" if value is None else f"default={value}"


def _text(text: str) -> str | None:
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    value = match[1].replace("''", "'")
    quote = "'" if value.count('"') > value.count("'") else '"'  # the one that needs fewer escapes, as ruff writes it
    escaped = json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', '"')
    return quote + escaped.replace(quote, f"\\{quote}") + quote


def _whole(text: str) -> str | None:
    bare = text.strip("()'")
    return bare if re.fullmatch(r"-?\d{1,18}", bare) else None


def _real(text: str) -> str | None:
    bare = text.strip("()'")
    return str(float(bare)) if re.fullmatch(r"-?\d+(?:\.\d+)?", bare) else None


def _boolean(text: str) -> str | None:
    return {"true": "True", "1": "True", "false": "False", "0": "False"}.get(text.strip("()'").lower())


_LITERALS: Mapping[str, Callable[[str], str | None]] = {
    **dict.fromkeys(("CharField", "TextField"), _text),
    **dict.fromkeys(("IntField", "BigIntField", "SmallIntField"), _whole),
    **{"FloatField": _real, "BooleanField": _boolean},
}
