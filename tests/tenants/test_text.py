"""Text is compared, ordered, cut to one line and made into slugs and addresses in one place."""

from __future__ import annotations

import pytest

from tenants.text import address_key, cut_to_line, fold, one_line, slug_of, sort_key, without_links


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ÄRZTE", "ärzte"),
        ("a\u0308rzte", "ärzte"),  # NFD and NFC
        ("STRASSE", "Straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("İstanbul", "istanbul"),
        ("ＡＢＣ", "abc"),
        ("ПРИВЕТ", "привет"),
    ],
)
def test_text_when_spelt_in_two_ways_then_folds_to_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_text_when_accents_differ_then_stays_apart() -> None:
    assert fold("Résumé") != fold("Resume")


def test_names_when_ordered_then_neither_capitals_nor_accents_come_first() -> None:
    names = ["Zebra", "apfel", "Äpfel", "Birne", "Łódź", "lodge", "Öl", "ofen", "東京", "apfel 2"]
    assert sorted(names, key=sort_key) == [
        *("apfel", "Äpfel", "apfel 2", "Birne", "lodge", "Łódź", "ofen", "Öl", "Zebra", "東京"),
    ]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Łódź", "lodz"),
        ("Straße", "strasse"),
        ("日本語", "ribenyu"),
        ("Ærø & Søn A/S", "aero-son-a-s"),
        ("  --  ", "tenant"),
        ("x" * 70, "x" * 63),
        ("Привет, мир", "privet-mir"),
    ],
)
def test_slug_when_made_of_a_name_then_keeps_its_sound(name: str, slug: str) -> None:
    assert slug_of(name, otherwise="tenant") == slug


@pytest.mark.parametrize(
    "spoilt",
    ["a\nb", "a\r\nBcc: x", "a\tb", "a\u2028b", "a\u202eb", "a\u200bb", "a\x00b", "\ufeffa", "a\x85b", "\u2066a"],
)
def test_name_when_it_has_what_ends_or_turns_a_line_then_is_refused_and_cut_clean(spoilt: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        one_line(spoilt)
    assert one_line(cut_to_line(spoilt))


@pytest.mark.parametrize("empty", ["\u3164", "\u200c", "\u0301", "\u00a0", "\u2800 "])
def test_name_when_it_shows_nothing_then_is_refused(empty: str) -> None:
    with pytest.raises(ValueError, match="can be seen"):
        one_line(empty)


@pytest.mark.parametrize("good", ["Müller & Söhne", "می‌خواهم", "👨‍👩‍👧 family", "🏴󠁧󠁢󠁷󠁬󠁳󠁿", "भारत", "O’Neil", "株式会社"])
def test_name_when_people_are_called_that_then_is_kept(good: str) -> None:
    assert one_line(good) == good == cut_to_line(good)


def test_name_when_given_in_pieces_then_is_kept_composed() -> None:
    assert one_line("Zoe\u0308") == "Zoë"


@pytest.mark.parametrize("typed", ["ADA@BÜCHER.example", "ada@bu\u0308cher.example", " Ada@XN--BCHER-KVA.example "])
def test_address_when_spelt_in_several_ways_then_has_one_key(typed: str) -> None:
    assert address_key(typed) == "ada@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Join http://evil.example now", "Join http: //evil. example now"),
        ("www.evil.example/path", "www. evil. example/path"),
        ("evil。example", "evil。 example"),
        ("Dr. No & Co.", "Dr. No & Co."),
    ],
)
def test_name_when_it_reads_like_a_link_then_is_shown_as_none(name: str, shown: str) -> None:
    assert without_links(name) == shown
