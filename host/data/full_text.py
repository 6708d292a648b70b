"""Full-text search over rows (`?q=`): index the words of some columns, match the words of a search.

To make a table searchable, on both databases alike:

1. Its model has a `WordsField`, and what writes its rows fills it with `indexed(tenant_id, texts)`.
2. Its migrations create `<table>_search` (`SEARCH_SUFFIX`). PostgreSQL: a view of the table with tenant isolation as
   its condition and two more columns; `words` is the `WordsField`, with a GIN index, and `unindexed` the text of a row
   too new to have words, else null. SQLite: an FTS5 table (tokenize = "ascii") with the same rowids, which triggers
   fill with `text_words` of the columns.
3. Its `Records` have `full_text=True`, and pages take `q`, which `matching` turns into the database's own syntax.

Words come from text folded by `tenants.text.fold`: letters and digits with their marks (Hindi keeps its vowels, the
optional ones of Arabic and Hebrew are left out); scripts without blanks between words (Chinese, Japanese, Korean,
Thai, Lao, Khmer, Burmese) as overlapping pairs; UUIDs and e-mail addresses whole as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from tortoise import fields

from tenants.context import current
from tenants.text import fold
from tenants.text_columns import FOLD

LONGEST_WORD = 200
MOST_WORDS = 1000
"""The most words indexed of one row; later ones are not found."""

MOST_ASKED = 20
"""The most words of one search."""

SEARCH_SUFFIX = "_search"
"""Suffix of the view or table with the words of a table's rows, which migrations create."""

WORDS = "text_words"
"""The name of the SQLite function for `words_of`, used by triggers that index rows as they are written."""

_WHOLE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_PAIRED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff]+"
)
_OPTIONAL = re.compile("[\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u200b-\u200d\ufe00-\ufe0f]")

# A row gets its words after seconds; until then plain ASCII words match whole, others match as parts of the text.
_IN_NEW_TEXT = (
    f"CASE WHEN word ~ '^I|^[0-9a-f]{{32}}$' THEN position(ltrim(word, 'I') IN "
    f"regexp_replace({FOLD}(unindexed), '[-@.+_% ]', '', 'g')) > 0 WHEN word ~ '^[a-z0-9]+$' THEN "
    f"{FOLD}(unindexed) ~ ('\\m' || word || '\\M') ELSE position(rtrim(word, ':*') IN {FOLD}(unindexed)) > 0 END"
)


class WordsField(fields.TextField):
    """The words that a row is found by, as `indexed` gives them: a tsvector in PostgreSQL.

    Example:
        words = WordsField(null=True)
    """

    class _db_postgres:  # noqa: N801 - the ORM's name
        SQL_TYPE = "TSVECTOR"


def words_of(text: str) -> list[str]:
    """The words of a text, each once, in order; a word that begins with a capital letter is a whole e-mail address."""
    return list(dict.fromkeys(word[:LONGEST_WORD] for word in _words(fold(text))))


def asked(text: str) -> list[str]:
    """The words of a search, all of which must match; one that ends in `*` is a prefix."""
    words: dict[str, None] = {}
    for run in runs(fold(text)):
        if not _PAIRED.match(run):
            words[run[:LONGEST_WORD]] = None
        elif len(run) == 1:
            words[f"{run}*"] = None
        else:
            words |= dict.fromkeys(_pairs(run))
    words |= dict.fromkeys(_wholes(fold(text)))
    return list(words)


def indexed(tenant: UUID, texts: Iterable[str]) -> str:
    """What a `WordsField` holds: the word that all rows of the tenant share, then the words of the texts.

    Example:
        await NOTES.change(note["id"], {"words": indexed_words(tenant_id, (note["title"], note["text"]))})
    """
    return " ".join([tenant_word(tenant), *words_of(" ".join(texts))[:MOST_WORDS]])


def matching(text: str, *, postgres: bool) -> str:
    """The words of a search, all required, in the syntax of the database's full-text search.

    Raises:
        ValueError: it has no words, or more than `MOST_ASKED`.
    """
    folded = fold(text)
    words = asked(folded)
    if not words or sum(1 for _ in runs(folded)) > MOST_ASKED:
        raise ValueError(f"Give 1 to {MOST_ASKED} words to look for.")
    if postgres:
        return " ".join((tenant_word(current()), *(word.replace("*", ":*") for word in words)))
    return " ".join(f'"{word[:-1]}"*' if word.endswith("*") else f'"{word}"' for word in words)


def match_sql(mark: str, search: str, *, postgres: bool) -> str:
    """The condition that a row has all words of the parameter `mark`; search: the view or table with the words."""
    if postgres:
        return f"words @@ replace({mark}, ' ', ' & ')::tsquery"
    return f"rowid IN (SELECT rowid FROM {search} WHERE {search} MATCH {mark})"  # noqa: S608


def match_new_sql(mark: str) -> str:
    """The same for a row of the view that is too new to have words, by its text; the tenant's word is left out."""
    return (
        f"unindexed IS NOT NULL AND NOT EXISTS (SELECT FROM "
        f"unnest((string_to_array({mark}, ' '))[2:]) word WHERE NOT {_IN_NEW_TEXT})"
    )


def tenant_word(tenant: UUID) -> str:
    """The word that a tenant's rows have in common: with it, the index of words finds that tenant's rows only."""
    return f"t{tenant.hex}"


def text_words(text: Any) -> str:
    """The function for SQLite: the words of a text, separated by spaces."""
    return " ".join(words_of(text)[:MOST_WORDS]) if isinstance(text, str) else ""


def _words(text: str) -> Iterator[str]:
    for run in runs(text):
        if _PAIRED.match(run):
            yield from _pairs(run)
            yield run[-1]  # so that each single character begins a word
        else:
            yield run
    yield from _wholes(text)


def _pairs(run: str) -> Iterator[str]:
    return (run[start : start + 2] for start in range(len(run) - 1))


def _wholes(text: str) -> Iterator[str]:
    if "@" in text or "-" in text:
        for whole in _WHOLE.findall(text):
            plain = "".join(each for each in whole if each.isalnum())
            yield f"I{plain}" if "@" in whole else plain


def runs(text: str) -> Iterator[str]:
    """Runs of letters, digits and marks; scripts written without spaces are separate runs."""
    text = _UUID.sub(" ", text)
    if text.isascii():
        yield from _ASCII_WORD.findall(text)
        return
    plain = _OPTIONAL.sub("", text)
    spaced = "".join(each if unicodedata.category(each)[0] in "LNM" else " " for each in plain)
    for run in _PAIRED.sub(lambda found: f" {found[0]} ", spaced).split():
        if any(each.isalnum() for each in run):
            yield run
