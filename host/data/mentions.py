"""Find and replace a person's e-mail addresses in every text column of the database.

It reads the database's own catalogue, so tables that no loaded plugin declares are searched too. Rows are those of
the bound tenant; with no tenant bound, those that belong to no tenant.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, cast
from urllib.parse import quote

import orjson
from tortoise.models import Model

from host.contracts import Person
from host.data.database import Database
from host.data.database import bound as bound_database
from tenants.context import current_or_none

AT_ONCE = 200  # rows changed in one transaction
_KEY = os.urandom(16)  # keys the digests in place of addresses; per process, so that nobody can test guesses

_POSTGRES = """
SELECT c.table_name::text AS "table", c.column_name::text AS "column", c.character_maximum_length AS longest,
    c.data_type IN ('json', 'jsonb') AS is_json, false AS derived, EXISTS (
        SELECT FROM information_schema.columns t WHERE t.table_schema = c.table_schema AND t.table_name = c.table_name
        AND t.column_name = 'tenant_id') AS of_tenants
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
    AND c.data_type IN ('text', 'character varying', 'character', 'json', 'jsonb')
ORDER BY c.table_name, c.ordinal_position
"""
_SQLITE = """
SELECT t.name AS "table", c.name AS "column", NULL AS longest, upper(c.type) = 'JSON' AS is_json, EXISTS (
        SELECT 1 FROM sqlite_master v
        WHERE v.sql LIKE 'CREATE VIRTUAL TABLE%' AND t.name LIKE v.name || '\\_%' ESCAPE '\\'
    ) AS derived, EXISTS (SELECT 1 FROM pragma_table_info(t.name) o WHERE o.name = 'tenant_id') AS of_tenants
FROM sqlite_master t, pragma_table_info(t.name) c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.sql NOT LIKE 'CREATE VIRTUAL TABLE%'
    AND (c.type = '' OR upper(c.type) = 'JSON' OR upper(c.type) LIKE '%CHAR%' OR upper(c.type) LIKE '%TEXT%')
ORDER BY t.name, c.cid
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of text or JSON. longest: characters; None where the database sets no limit."""

    name: str
    is_json: bool
    longest: int | None


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table that holds text. derived: the database maintains it for full-text search; do not write to it."""

    name: str
    columns: tuple[Column, ...]
    of_tenants: bool
    derived: bool


# -- in text ------------------------------------------------------------------------------------------------


def is_mentioned(person: Person, value: object) -> bool:
    """Whether a text, or any text in a JSON-able value, names one of the person's addresses, whole.

    Example:
        if is_mentioned(person, note["text"]):
            mentions += 1
    """
    return bool(without(person, value) != value)


def without(person: Person, value: Any) -> Any:
    """The same text or JSON-able value with each of the person's addresses replaced by a meaningless one.

    Example:
        text = without(person, note["text"])
    """
    if isinstance(value, str):
        for pattern, instead in _patterns(person.addresses):
            value = pattern.sub(instead, value)
        return value
    if isinstance(value, Mapping):
        return {without(person, name): without(person, inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without(person, inner) for inner in value]
    return value


@lru_cache(64)
def _patterns(addresses: tuple[str, ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    """A pattern and a replacement per address, plain and URL-encoded; no match within a longer address."""
    patterns = []
    for address in addresses:
        digest = blake2b(address.encode(), digest_size=4, key=_KEY).hexdigest()
        for spelt in dict.fromkeys((address, quote(address, safe=""))):
            before = r"(?:(?<![\w.%+\-])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
            pattern = re.compile(rf"{before}{re.escape(spelt)}(?![\w\-]|\.\w)", re.IGNORECASE)
            patterns.append((pattern, f"erased-{digest}@erased.invalid"))
    return tuple(patterns)


def _needles(person: Person) -> list[str]:
    """The texts to search for: the longest ASCII part of each spelling, since SQLite lowers only ASCII."""
    spelt = {each for address in person.addresses for each in (address, quote(address, safe=""))}
    return sorted({max(re.findall(r"[\x00-\x7f]+", each), key=len).lower() for each in spelt})


# -- in tables ----------------------------------------------------------------------------------------------


async def text_tables(database: Database) -> tuple[TextTable, ...]:
    """Every table with text in it, by name, as the database's catalogue has them."""
    rows = await database.fetch(_POSTGRES if database.dialect == "postgres" else _SQLITE)
    columns: dict[str, list[Column]] = {}
    for row in rows:
        columns.setdefault(row["table"], []).append(Column(row["column"], bool(row["is_json"]), row["longest"]))
    facts = {row["table"]: (bool(row["of_tenants"]), bool(row["derived"])) for row in rows}
    return tuple(TextTable(name, tuple(found), *facts[name]) for name, found in columns.items())


async def count_mentions(database: Database, person: Person) -> dict[str, int]:
    """Table -> how many of its rows mention the person; tables without any are left out."""
    counts = {}
    for table in await text_tables(database):
        if rows := await _mentioning(database, table, person, only="", columns=table.columns):
            counts[table.name] = len(rows)
    return counts


async def replace_mentions(database: Database, person: Person, leave: Sequence[str] = ()) -> dict[str, int]:
    """Replace the person's addresses by meaningless ones in every table; returns table -> rows changed.

    leave: tables that are not touched.
    """
    changed = {}
    for table in await text_tables(database):
        if table.name not in leave and not table.derived and (rows := await _replace(database, table, person)):
            changed[table.name] = rows
    return changed


async def rows_mentioning(model: type[Model], person: Person) -> list[Any]:
    """The ids of a model's rows, of the bound tenant, that mention one of the person's addresses.

    Example:
        note_ids = await rows_mentioning(Note, person)
    """
    database = bound_database()
    name = str(model._meta.db_table)
    table = next((each for each in await text_tables(database) if each.name == name), None)
    if table is None:
        return []
    rows = await _mentioning(database, table, person, only='"id"', columns=table.columns)
    as_python = cast(Callable[[Any], Any], model._meta.fields_map["id"].to_python_value)
    return [as_python(row["id"]) for row in rows]


async def _replace(database: Database, table: TextTable, person: Person) -> int:
    place, count = ("ctid" if database.dialect == "postgres" else "rowid"), 0
    rows = await _mentioning(database, table, person, only=f'{place} AS "place"', columns=table.columns)
    for start in range(0, len(rows), AT_ONCE):
        with database.bind():
            async with database.transaction():
                for row in rows[start : start + AT_ONCE]:
                    count += await _write(database, table, person, row, place)
    return count


async def _write(database: Database, table: TextTable, person: Person, row: Mapping[str, Any], place: str) -> int:
    """Change one row unless it was changed meanwhile, in which case a later run finds it; returns the rows changed."""
    sets, same, values = [], [], list[Any]()
    for column in table.columns:
        text = row[column.name]
        if text is None or not _in_column(person, column, text):
            continue
        cast_to = "::jsonb" if column.is_json and database.dialect == "postgres" else ""
        values += [_replaced(person, column, text), text]
        sets.append(f'"{column.name}" = ${len(values) - 1}{cast_to}')
        as_text = f'"{column.name}"::text' if database.dialect == "postgres" else f'"{column.name}"'
        same.append(f"{as_text} = ${len(values)}")
    values.append(row["place"])
    here = f"{place} = ${len(values)}"
    update = f'UPDATE "{table.name}" SET {", ".join(sets)} WHERE {" AND ".join([here, *same])}'  # noqa: S608
    return await database.execute(update, *values)


def _in_column(person: Person, column: Column, text: str) -> bool:
    return is_mentioned(person, orjson.loads(text) if column.is_json else text)


def _replaced(person: Person, column: Column, text: str) -> str:
    if column.is_json:
        return orjson.dumps(without(person, orjson.loads(text))).decode()
    return cast(str, without(person, text))[: column.longest]


async def _mentioning(
    database: Database, table: TextTable, person: Person, *, only: str, columns: Sequence[Column]
) -> list[dict[str, Any]]:
    """The bound scope's rows that mention the person: `only`, and the columns as text."""
    if not person.addresses:
        return []
    postgres, values = database.dialect == "postgres", list[Any](_needles(person))
    shown = {each.name: f'"{each.name}"::text' if postgres else f'"{each.name}"' for each in columns}
    within = "strpos" if postgres else "instr"
    hits = [f"{within}(lower({text}), ${number + 1}) > 0" for text in shown.values() for number in range(len(values))]
    where = f"({' OR '.join(hits)})"
    if table.of_tenants:
        tenant = current_or_none()
        where += " AND tenant_id IS NULL" if tenant is None else f" AND tenant_id = ${len(values) + 1}"
        values += [] if tenant is None else [tenant if postgres else str(tenant)]
    elif current_or_none() is not None:
        return []
    texts = [f'{text} AS "{name}"' for name, text in shown.items() if f'"{name}"' != only]
    selected = ", ".join([only, *texts] if only else texts)
    with database.bind():
        rows = await database.fetch(f'SELECT {selected} FROM "{table.name}" WHERE {where}', *values)  # noqa: S608
    return [row for row in rows if any(row[c.name] and _in_column(person, c, row[c.name]) for c in columns)]
