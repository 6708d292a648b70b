"""Index audit entries with the word rules of `host.data.full_text`, and index old entries again."""

# ruff: noqa: S608, RUF012 - every name in this SQL is our own

import json
from importlib import import_module
from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

from ..words import words_of

# The step before, whose name is no identifier.
_before: Any = import_module(f"{__package__}.0003_search")
_NAMES = (*_before._FIELDS, "before", "after")
_AT_ONCE = 1000


def _sqlite(words: str, tokenize: str) -> str:
    """The index and the triggers that keep it, with what is indexed of a row's text."""
    new, old = (words.format(_before._text(row, "{}")) for row in ("NEW.", ""))
    return f"""
DROP TRIGGER IF EXISTS audit_entries_search_insert;
DROP TRIGGER IF EXISTS audit_entries_search_update;
DROP TRIGGER IF EXISTS audit_entries_search_delete;
DROP TABLE IF EXISTS audit_entries_search;
CREATE VIRTUAL TABLE audit_entries_search USING fts5(words, tokenize = "{tokenize}");
INSERT INTO audit_entries_search (rowid, words) SELECT rowid, {old} FROM audit_entries;
CREATE TRIGGER audit_entries_search_insert AFTER INSERT ON audit_entries BEGIN
    INSERT INTO audit_entries_search (rowid, words) VALUES (NEW.rowid, {new}); END;
CREATE TRIGGER audit_entries_search_update AFTER UPDATE OF "before", "after", actor_label ON audit_entries BEGIN
    UPDATE audit_entries_search SET words = {new} WHERE rowid = NEW.rowid; END;
CREATE TRIGGER audit_entries_search_delete AFTER DELETE ON audit_entries BEGIN
    DELETE FROM audit_entries_search WHERE rowid = OLD.rowid; END;
"""


async def _index_anew(apps: Any, editor: Any) -> None:
    """On PostgreSQL, compute the words of every indexed entry again, a thousand at a time in order of id."""
    client = editor.client
    if client.capabilities.dialect != "postgres":
        return
    columns = ", ".join(f'"{name}"' for name in ("id", "tenant_id", *_NAMES))
    read = f"SELECT {columns} FROM audit_entries WHERE words IS NOT NULL AND id > $1 ORDER BY id LIMIT {_AT_ONCE}"
    last: Any = "00000000-0000-0000-0000-000000000000"
    while rows := await client.execute_query_dict(read, [last]):
        changes = []
        for row in map(dict, rows):
            row |= {name: json.loads(row[name]) for name in ("before", "after") if isinstance(row[name], str)}
            changes.append([words_of(row, row["tenant_id"]), row["id"]])
        await client.execute_many("UPDATE audit_entries SET words = $1::text::tsvector WHERE id = $2", changes)
        last = rows[-1]["id"]


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_search")]

    initial = False

    operations = [
        _before.OnDialect("sqlite", _sqlite("text_words({})", "ascii"), _sqlite("{}", "unicode61 remove_diacritics 0")),
        ops.RunPython(_index_anew, ops.RunPython.noop),
    ]
