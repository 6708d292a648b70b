"""Split text into words for full-text search (`?q=`), the same way on both databases.

Tables can be searched whose migrations create `<table>_search` (see `host.data.sql_builder.SEARCH_SUFFIX`), whose
rows hold `indexed(tenant_id, texts)` in a `WordsField`, and whose `Records` have `full_text=True`.

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

from tenants.text import fold

LONGEST_WORD = 200
MOST_WORDS = 1000
"""The most words indexed of one row; later ones are not found."""

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
