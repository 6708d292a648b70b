"""Stream audit entries as CSV or JSON lines in chunks, with spreadsheet formulas neutralised."""

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
    """Stream every entry up to now that matches the filters, the newest first; the export is recorded beforehand.

    name: the file name without its extension. bom: begin a CSV with a byte-order mark, so that Excel reads it as UTF-8.

    Raises:
        ValidationFailed: a filter has a value that no entry can have.
    """
    now = datetime.now(UTC)
    narrow = narrowed(query)
    until = narrow.filters.get("to") or now
    complete = replace(narrow, filters={**narrow.filters, "to": until})
    chunks = ENTRIES.chunks(complete, CHUNK)
    first: list[Row] = await anext(chunks, [])  # wrong filters are refused before anything is sent
    async with unit_of_work() as work:
        details = {"format": wanted, "filters": {key: str(value) for key, value in query.filters.items()}}
        work.record("audit.entries.export", "audit_log", "", after=details)
    headers = {"Content-Disposition": f'attachment; filename="{name}-{now:%Y%m%d-%H%M%S}.{wanted}"'}
    return Stream(_body(first, chunks, wanted, bom), _TYPES[wanted], headers=headers)


async def _body(
    first: list[Row], chunks: AsyncIterator[list[Row]], file_format: Format, bom: bool
) -> AsyncIterator[bytes]:
    as_lines = _csv if file_format == "csv" else _jsonl
    if file_format == "csv":
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
    text = str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
