"""Text is taken apart into the words it is found by."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from host.data.full_text import MOST_ASKED, MOST_WORDS, asked, indexed, matching, words_of
from tenants.context import bind


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("今月の売上計画", "売上"),
        ("今月の売上計画", "画"),
        ("iPhone15を買う", "IPHONE15"),
        ("ประเทศไทย", "ไทย"),
        ("한국어 문서", "국어"),
        ("हिन्दी में लिखना", "हिन्दी"),
        ("कि\u200dताब", "किताब"),
        ("مُحَمَّد", "محمد"),
        ("Große Straße", "STRASSE"),
        ("Grüße", "gru\u0308ße"),
        ("Ｔｏｋｙｏ", "tokyo"),
        ("to Ada@Example.com.", "ada@example.COM"),
        ("0193A7F2-1111-7222-8333-444455556666", "0193a7f2-1111-7222-8333-444455556666"),
        ("0193a7f2-1111-7222-8333-444455556666", "0193a7f2111172228333444455556666"),
    ],
)
def test_text_when_asked_for_part_of_it_then_its_words_are_all_there(text: str, wanted: str) -> None:
    there = words_of(text)
    for word in asked(wanted):
        assert word in there or any(each.startswith(word[:-1]) for each in there if word.endswith("*"))


@pytest.mark.parametrize(
    ("text", "unwanted"),
    [
        ("Land on the Moon", "lan"),
        ("हिन्दी", "हिन्द"),
        ("今月の売上計画", "売計"),
        ("ada@other.example and bob@example.com", "ada@example.com"),
        ("Résumé", "resume"),
    ],
)
def test_text_when_asked_for_what_it_does_not_say_then_a_word_is_missing(text: str, unwanted: str) -> None:
    assert set(asked(unwanted)) - set(words_of(text))


def test_words_when_indexed_then_bounded_and_begin_with_the_tenants() -> None:
    tenant = UUID(int=7)
    words = indexed(tenant, ["a", "字" * 50_000, *(f"w{number}" for number in range(5000))]).split()
    assert words[0] == f"t{tenant.hex}"
    assert len(words) == MOST_WORDS + 1


@pytest.mark.parametrize("nothing", ["", "!!", "—", "\u0301"])
def test_words_when_nothing_is_one_then_none(nothing: str) -> None:
    assert [word for word in asked(nothing) if word.isalnum()] == []


def test_search_when_matched_then_all_words_are_required_in_each_databases_syntax() -> None:
    tenant = uuid4()
    with bind(tenant):
        assert matching("Größe sho*", postgres=True).split()[0] == f"t{tenant.hex}"
        assert matching("red 東", postgres=True).endswith("red 東:*")
    assert matching("red 東", postgres=False) == '"red" "東"*'
    for wrong in ("", "…", "a " * (MOST_ASKED + 1)):
        with pytest.raises(ValueError, match=f"1 to {MOST_ASKED} words"):
            matching(wrong, postgres=False)
