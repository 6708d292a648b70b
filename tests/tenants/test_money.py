"""Money: whole numbers of the smallest unit, in each currency's own digits."""

from __future__ import annotations

import pytest

from tenants.limits import LimitError, parse_limit
from tenants.money import money_text, parse_money


@pytest.mark.parametrize(
    ("text", "amount", "currency", "written"),
    [
        ("25 USD", 2500, "USD", "25 USD"),
        ("25.5 usd", 2550, "USD", "25.50 USD"),
        ("1,000.05 EUR", 100_005, "EUR", "1000.05 EUR"),
        ("500 JPY", 500, "JPY", "500 JPY"),
        ("1.234 KWD", 1234, "KWD", "1.234 KWD"),
        ("0 USD", 0, "USD", "0 USD"),
        ("100ISK", 100, "ISK", "100 ISK"),
    ],
)
def test_money_when_read_and_written_then_exact_in_its_currency(
    text: str, amount: int, currency: str, written: str
) -> None:
    assert parse_money(text) == (amount, currency)
    assert money_text(amount, currency) == written
    assert parse_money(written) == (amount, currency)


@pytest.mark.parametrize("text", ["20", "5 GB", "20 day", "USD 5", "-5 USD", "5 USDT", "", "20 ABC"])
def test_money_when_it_is_something_else_then_none(text: str) -> None:
    assert parse_money(text) is None


@pytest.mark.parametrize("text", ["1.5 JPY/day", "0.001 USD", "1 XYZ/month", "5 USD/fortnight"])
def test_limit_when_the_money_cannot_be_then_refused_with_how_it_is_written(text: str) -> None:
    with pytest.raises(LimitError, match="USD"):
        parse_limit(text)


def test_limit_when_of_money_then_in_the_smallest_unit_and_written_back() -> None:
    value = parse_limit("25 USD/24 hours")
    assert (value.amount, value.currency, value.seconds) == (2500, "USD", 86_400)
    assert str(value) == "25 USD/24 hours"
    assert parse_limit(str(value)) == value
