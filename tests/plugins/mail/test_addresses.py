"""Addresses as people write them, as attackers write them, and as they come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import host.identity.addresses  # noqa: F401 - the host lets .test and .local be addresses
from plugins.mail.addresses import Address, AddressText, parse_address, searched, stored_address


@pytest.mark.parametrize(
    ("text", "name", "email"),
    [
        ("ada@example.com", "", "ada@example.com"),
        ("  ada@EXAMPLE.com ", "", "ada@example.com"),
        ("Ada.L@example.com", "", "Ada.L@example.com"),
        ("<ada@example.com>", "", "ada@example.com"),
        ("Ada Lovelace <ada@example.com>", "Ada Lovelace", "ada@example.com"),
        ("Ada K. Lovelace <ada@example.com>", "Ada K. Lovelace", "ada@example.com"),
        ('"Lovelace, Ada" <ada@example.com>', "Lovelace, Ada", "ada@example.com"),
        (r'"The \"Countess\" \\" <ada@example.com>', 'The "Countess" \\', "ada@example.com"),
        ("Zoë <zoe@bücher.example>", "Zoë", "zoe@xn--bcher-kva.example"),
        ("zoe@XN--BCHER-KVA.example", "", "zoe@xn--bcher-kva.example"),
        ("zoë@bücher.example", "", "zoë@xn--bcher-kva.example"),
        ("root@mail.local", "", "root@mail.local"),
    ],
)
def test_address_when_well_written_then_read_and_its_domain_normalised(text: str, name: str, email: str) -> None:
    assert parse_address(text) == Address(name, email)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@-example.com",
        "ada@[127.0.0.1]",
        '"a b"@example.com',
        "ada@example.com, bob@example.com",
        "ada@example.com; bob@example.com",
        "ada@example.com bob@example.com",
        "ada@example.com, Bob <bob@example.com>",
        "Ada <ada@example.com> <bob@example.com>",
        "Ada <ada@example.com>, bob@example.com",
        "Lovelace, Ada <ada@example.com>",
        "group: ada@example.com;",
        "ada@example.com\r\nBcc: eve@example.com",
        "Ada\nBcc: eve@example.com <ada@example.com>",
        "Ada\tLovelace <ada@example.com>",
        "ada@exam\x00ple.com",
        "ada@example.com\u2028",
        "Ada\x85Bcc <ada@example.com>",
        "Ada\ud800 <ada@example.com>",
        "=?utf-8?q?Ada=0D=0ABcc:_eve=40example.com?= <ada@example.com>",
        '"=?UTF-8?B?QWRhDQpCY2M6?=" <ada@example.com>',
        "=?utf-8?q?ada?=@example.com <>",
        "a" * 65 + "@example.com",
        "a@" + ".".join(["b" * 60] * 5) + ".com",
        "é" * 60 + "@" + ".".join(["b" * 45] * 4) + ".com",
        "x" * 201 + " <ada@example.com>",
        "x" * 100_000,
    ],
)
def test_address_when_wrong_or_two_or_smuggling_lines_then_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_address(text)
    assert str(refused.value).endswith(".")


def test_address_when_before_the_at_leaves_ascii_then_needs_smtputf8_and_an_idn_domain_does_not() -> None:
    assert parse_address("zoë@example.com").needs_smtputf8
    assert not parse_address("zoe@bücher.example").needs_smtputf8


@given(st.text(max_size=200))
def test_address_when_it_has_any_name_then_reads_back_the_same_or_is_refused(name: str) -> None:
    try:
        read = parse_address(str(Address(name.strip(), "ada@example.com")))
    except ValueError:
        return
    assert parse_address(str(read)) == read
    assert read.name == name.strip()


def test_address_when_in_a_body_then_checked_and_written_in_the_one_form() -> None:
    body = TypeAdapter(AddressText)
    assert body.validate_python(' "Ada"   <ada@EXAMPLE.com>') == "Ada <ada@example.com>"
    with pytest.raises(ValidationError, match="one line"):
        body.validate_python("ada@example.com\nBcc: eve@example.com")


@pytest.mark.parametrize(
    ("looked_for", "found"),
    [
        ("Ada <ADA@Bücher.Example>", "ada@xn--bcher-kva.example"),
        ("@bücher.example", "@xn--bcher-kva.example"),
        ("Ada@", "ada@"),
        ("example.c", "example.c"),
        ("@", "@"),
    ],
)
def test_search_when_spelt_otherwise_then_as_rows_are_spelt(looked_for: str, found: str) -> None:
    assert searched(looked_for) == found


@pytest.mark.parametrize("name", ["Ada\u2028Lovelace", "Ada\tLovelace", "Ada \u202eLovelace\u2069", "Ada\r\nLovelace"])
def test_stored_address_when_its_name_is_from_before_names_were_checked_then_one_line(name: str) -> None:
    stored = str(Address(name, "ada@example.com"))
    assert stored_address(stored) == Address("Ada Lovelace", "ada@example.com")


def test_stored_address_when_its_name_needs_quotation_marks_or_looks_encoded_then_read_back() -> None:
    for name in ('Lovelace, "Ada" <the first>', "=?utf-8?q?x?=", "Äda \\ B", ""):
        address = Address(name, "ada@example.com")
        assert stored_address(str(address)) == address
