"""Full-text search of entries: words with their index in PostgreSQL, an FTS5 table with triggers in SQLite.

In PostgreSQL an entry's words are written when it is sealed, so that recording an action stays fast. Row-level security
keeps PostgreSQL from using an index for an operator that is not leakproof, such as `@@`; so the search reads a view,
`audit_entries_search`, with the tenant condition in its own WHERE clause. The host checks that the condition is there
and grants the serving role SELECT. After adding a column to the table, create the view again.
"""

# ruff: noqa - every name in this SQL is our own

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

_FIELDS = ("action", "resource_type", "resource_id", "outcome", "actor_label", "address", "reason", "request_id")


class OnDialect(ops.RunSQL):
    """SQL for one of the databases; the other one has its own."""

    def __init__(self, dialect: str, sql: str, reverse_sql: str) -> None:
        super().__init__(sql, reverse_sql)
        self.dialect = dialect

    async def _run_sql(self, state_editor: Any, sqls: Any) -> None:
        if state_editor.client.capabilities.dialect == self.dialect:
            await super()._run_sql(state_editor, sqls)


def _text(row: str, as_text: str) -> str:
    parts = [f"{row}{name}" for name in _FIELDS] + [as_text.format(f"{row}{name}") for name in ("before", "after")]
    return " || ' ' || ".join(parts)


_POSTGRES = f"""
CREATE INDEX audit_entries_words ON audit_entries USING gin (words) WHERE words IS NOT NULL;
CREATE VIEW audit_entries_search AS
    SELECT *, CASE WHEN words IS NULL THEN replace({_text("", "{}::text")}, '_', ' ') END AS unindexed
    FROM audit_entries WHERE tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid;
"""
_POSTGRES_BACK = "DROP VIEW audit_entries_search; DROP INDEX audit_entries_words;"

_SQLITE = f"""
CREATE VIRTUAL TABLE audit_entries_search USING fts5(words, tokenize = "unicode61 remove_diacritics 0");
INSERT INTO audit_entries_search (rowid, words) SELECT rowid, {_text("", "{}")} FROM audit_entries;
CREATE TRIGGER audit_entries_search_insert AFTER INSERT ON audit_entries BEGIN
    INSERT INTO audit_entries_search (rowid, words) VALUES (NEW.rowid, {_text("NEW.", "{}")}); END;
CREATE TRIGGER audit_entries_search_update AFTER UPDATE OF "before", "after", actor_label ON audit_entries BEGIN
    UPDATE audit_entries_search SET words = {_text("NEW.", "{}")} WHERE rowid = NEW.rowid; END;
CREATE TRIGGER audit_entries_search_delete AFTER DELETE ON audit_entries BEGIN
    DELETE FROM audit_entries_search WHERE rowid = OLD.rowid; END;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_sealing")]

    initial = False

    operations = [
        OnDialect(
            "postgres",
            _POSTGRES,
            _POSTGRES_BACK,
        ),
        OnDialect(
            "sqlite",
            _SQLITE,
            "DROP TRIGGER audit_entries_search_insert; DROP TRIGGER audit_entries_search_update; "
            "DROP TRIGGER audit_entries_search_delete; DROP TABLE audit_entries_search;",
        ),
    ]
