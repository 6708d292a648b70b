"""Define the SQL function `text_fold` in both databases, which folds text for case-insensitive searches."""

# ruff: noqa: S608 - the name is our own

from __future__ import annotations

from typing import Any

from tenants.text import fold
from tenants.text_columns import FOLD

# Lower case beyond ASCII needs a collation that knows it; a database's own may be "C". In order of preference:
# PostgreSQL 17's own, the system's, ICU's.
_COLLATIONS = ("pg_c_utf8", "C.utf8", "C.UTF-8", "und-x-icu", "en_US.utf8", "default")

POSTGRES = f"""DO $make$ DECLARE known text; BEGIN
    SELECT quote_ident(collname) INTO known FROM pg_collation
        WHERE collname = ANY (ARRAY{list(_COLLATIONS)}::name[])
        AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
        ORDER BY array_position(ARRAY{list(_COLLATIONS)}::text[], collname::text) LIMIT 1;
    EXECUTE format(
        $sql$CREATE OR REPLACE FUNCTION {FOLD}(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $fold$
        SELECT CASE WHEN octet_length($1) = char_length($1) THEN lower($1 COLLATE "C") ELSE
            replace(replace(replace(lower(normalize($1, NFKC) COLLATE %s), 'ß', 'ss'), 'ς', 'σ'), 'i' || chr(775), 'i')
            COLLATE "C" END $fold$$sql$, known);
END $make$"""
"""SQL that creates the function in PostgreSQL; safe to repeat."""


def text_fold(text: Any) -> Any:
    """The function for SQLite: folded text; any other value unchanged."""
    return fold(text) if isinstance(text, str) else text
