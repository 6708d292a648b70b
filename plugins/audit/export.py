"""Export: entries as CSV or JSON lines, a chunk at a time, safe to open in a spreadsheet."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import orjson

from host.sdk import Query, Row, Stream, unit_of_work

from .service import ENTRIES, SHOWN, narrowed

Format = Literal["csv", "jsonl"]
CHUNK = 1000  # rows in memory at a time
_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8; header=present", "jsonl": "application/x-ndjson"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a cell for a formula (OWASP, CSV Injection)."""


async def export(query: Query, wanted: Format, name: str, bom: bool = False) -> Stream:
    """Every entry that fits the filters, the newest first, up to now; that it was exported is on record before.

    name: what the file is called, without its ending. bom: a CSV begins with a byte-order mark, so that Excel reads it
    as UTF-8.

    Raises:
        ValidationFailed: a filter has a value that no entry can have.
    """
    now = datetime.now(UTC)
    asked = narrowed(query)
    until = asked.filters.get("to") or now
    complete = replace(asked, filters={**asked.filters, "to": until})
    chunks = ENTRIES.chunks(complete, CHUNK)
    first: list[Row] = await anext(chunks, [])  # what is wrong with the filters comes to light before anything is sent
    async with unit_of_work() as work:
        said = {"format": wanted, "filters": {key: str(value) for key, value in query.filters.items()}}
        work.record("audit.entries.export", "audit_log", "", after=said)
    headers = {"Content-Disposition": f'attachment; filename="{name}-{now:%Y%m%d-%H%M%S}.{wanted}"'}
    return Stream(_body(first, chunks, wanted, bom), _TYPES[wanted], headers=headers)


async def _body(first: list[Row], chunks: AsyncIterator[list[Row]], wanted: Format, bom: bool) -> AsyncIterator[bytes]:
    as_lines = _csv if wanted == "csv" else _jsonl
    if wanted == "csv":
        yield (codecs.BOM_UTF8 if bom else b"") + ",".join(SHOWN).encode() + b"\r\n"
    if first:
        yield as_lines(first)
    async for rows in chunks:
        yield as_lines(rows)


def _jsonl(rows: list[Row]) -> bytes:
    return b"".join(orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z) for row in rows)


def _csv(rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerows([_cell(row[name]) for name in SHOWN] for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, dict):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    said = str(value)
    return f"'{said}" if said.lstrip(" ").startswith(_FORMULA) else said
