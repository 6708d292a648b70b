"""E-mail addresses: one person, one spelling."""

from __future__ import annotations

import pytest

from host.errors import ValidationFailed
from host.identity.addresses import normalise


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ada@EXÄMPLE.com", "ada@xn--exmple-cua.com"),
        ("ada@xn--exmple-cua.com", "ada@xn--exmple-cua.com"),
        ("Ada+News@acme.test", "ada+news@acme.test"),
        ("root@printer.local", "root@printer.local"),
        ("mi\u212ae@example.com", "mike@example.com"),
    ],
)
def test_address_when_normalised_then_lower_case_and_ascii_domain(typed: str, kept: str) -> None:
    assert normalise(typed) == kept


@pytest.mark.parametrize(
    "typed", ["", "ada", "ada@", "ada@b", "a b@example.com", "ada@example..com", "x" * 250 + "@a.org"]
)
def test_address_when_it_is_none_then_refused_under_its_field(typed: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        normalise(typed, field="contact")
    assert list(refused.value.details) == ["contact"]
