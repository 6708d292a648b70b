"""Amounts of money as whole numbers of a currency's smallest unit, read from and written as text."""

from __future__ import annotations

import re
from decimal import Decimal

_DECIMALS = {  # ISO 4217, the active codes of 2024-06 by their digits behind the point
    code: digits
    for digits, codes in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
        "CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL "
        "HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP "
        "MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD "
        "SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS "
        "VED VES WST XCD YER ZAR ZMW ZWG",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for code in codes.split()
}
NUMBER = r"[0-9]+(?:[_,][0-9]{3})*(?:\.[0-9]+)?"
"""The pattern of a number as people write it: digits, in groups of three or not, and perhaps a fraction."""

_MONEY = re.compile(rf"(?P<amount>{NUMBER})\s*(?P<currency>[A-Za-z]{{3}})")


def read_number(text: str) -> Decimal:
    """The exact value of a text that `NUMBER` matches."""
    return Decimal(text.replace("_", "").replace(",", ""))


def decimals(currency: str) -> int:
    """How many digits behind the point a currency has: 2 for "USD", 0 for "JPY", 3 for "KWD".

    Raises:
        KeyError: there is no such currency.
    """
    return _DECIMALS[currency.upper()]


def parse_money(text: str) -> tuple[int, str] | None:
    """An amount in its currency's smallest unit, and the currency: "25.50 USD" -> (2550, "USD"); None: it is none.

    Raises:
        ValueError: it has more digits behind the point than the currency.
    """
    match = _MONEY.fullmatch(text.strip())
    currency = match["currency"].upper() if match else ""
    if match is None or currency not in _DECIMALS:
        return None
    exact = read_number(match["amount"]).scaleb(decimals(currency))
    if exact != exact.to_integral_value():
        raise ValueError(f"{currency} has {decimals(currency)} digits behind the point")
    return int(exact), currency


def money_text(amount: int, currency: str) -> str:
    """The amount as people write it, as `parse_money` reads it: (2550, "USD") -> "25.50 USD"."""
    places = decimals(currency)
    whole = Decimal(amount).scaleb(-places)
    return f"{whole if amount % 10**places else whole.to_integral_value()} {currency}"
