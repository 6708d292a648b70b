"""The grammars of sizes, durations, rates and limits, also as pydantic types; and when a limit renews."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator

from tenants.money import NUMBER, money_text, parse_money, read_number

_SIZES = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4}  # 5 GB is 5 × 1024³ bytes, as in file lists
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_CALENDAR = ("month", "year")  # their length differs, so they have no seconds
_QUANTITY = re.compile(rf"(?P<number>{NUMBER})\s*(?P<unit>[a-z]+)?", re.IGNORECASE)
_HOW = 'write "20", "5 GB", "500/month", "5/15 minutes", "25 USD/month" or "unlimited"'
_HOW_RATE = 'write a rate as a count and a period, such as "100/minute" or "5/15 minutes", or "unlimited"'
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # weeks, and with them all fixed windows, are counted from here


class LimitError(ValueError):
    """The text is no limit; the message says how one is written."""


@dataclass(frozen=True, slots=True)
class LimitValue:
    """How much: `amount` (None: unlimited) of things or, when `is_size`, bytes, in each `period` (None: ever).

    currency: ISO 4217, where the amount is money, in the currency's smallest unit.

    period: "month", "minute", "15 minutes". seconds: its length; None for none and for month and year, which are
    calendar ones in UTC. `str()` writes what `parse_limit` reads.
    """

    amount: int | None
    period: str | None = None
    seconds: int | None = None
    is_size: bool = False
    currency: str = ""

    @property
    def unlimited(self) -> bool:
        """Whether there is no limit at all."""
        return self.amount is None

    def __str__(self) -> str:
        if self.amount is None:
            return "unlimited"
        text = (
            _size(self.amount)
            if self.is_size
            else money_text(self.amount, self.currency)
            if self.currency
            else str(self.amount)
        )
        return f"{text}/{self.period}" if self.period else text


def _size(amount: int) -> str:
    unit = next(name for name in reversed(_SIZES) if amount % _SIZES[name] == 0) if amount else "b"
    return f"{amount // _SIZES[unit]} {unit.upper()}"


def parse_size(text: str) -> int:
    """The bytes of a size such as "5 GB", where 1 KB is 1024 bytes; a number alone is bytes.

    Raises:
        ValueError: it is not a number with one of the units B, KB, MB, GB, TB.
    """
    size = _measured(text, _SIZES, "b")
    if size is None:
        raise ValueError('write a size as a number and a unit, such as "500 KB", "1 MB" or "2 GB"')
    return round(size)


def parse_duration(text: str) -> float:
    """The seconds of a duration such as "15 minutes"; a number alone is seconds.

    Raises:
        ValueError: it is not a number with one of the units second, minute, hour, day, week.
    """
    seconds = _measured(text, _SECONDS, "second")
    if seconds is None:
        raise ValueError('write a duration as a number and a unit, such as "30 seconds", "15 minutes" or "2 hours"')
    return float(seconds)


def _measured(text: str, units: Mapping[str, int], alone: str) -> Decimal | None:
    match = _QUANTITY.fullmatch(text.strip())
    unit = units.get((match["unit"] or alone).lower().removesuffix("s")) if match else None
    if match is None or unit is None or (unit == 1 and units is _SIZES and "." in match["number"]):
        return None
    return read_number(match["number"]) * unit


def parse_limit(text: str) -> LimitValue:
    """Read a limit: a number, a size in units of 1024 or money, with a period where it renews, or "unlimited".

    Raises:
        LimitError: it is none of these.
    """
    if text.strip().lower() == "unlimited":
        return LimitValue(amount=None)
    quantity, renews, period = text.partition("/")
    try:
        money = parse_money(quantity)
        value = (
            LimitValue(money[0], currency=money[1])
            if money
            else LimitValue(parse_size(quantity), is_size=quantity.rstrip()[-1:].isalpha())
        )
        return replace(value, **_period(period)) if renews else value
    except ValueError:
        raise LimitError(f"{text!r} is not a limit: {_HOW}") from None


def _period(text: str) -> dict[str, Any]:
    number, _, name = text.strip().rpartition(" ")
    count, unit = int(number or 1), name.removesuffix("s")
    if unit in _CALENDAR and count == 1:
        return {"period": unit}
    if unit not in _SECONDS or count < 1:
        raise ValueError("no period that is known")
    return {"period": unit if count == 1 else f"{count} {unit}s", "seconds": count * _SECONDS[unit]}


def parse_rate(text: str) -> LimitValue:
    """Read a rate: a count in a period of fixed length, such as "5/15 minutes", or "unlimited".

    Raises:
        LimitError: it is neither.
    """
    with suppress(LimitError):
        value = parse_limit(text)
        if value.unlimited or (value.amount and value.seconds and not (value.is_size or value.currency)):
            return value
    raise LimitError(f"{text!r} is not a rate: {_HOW_RATE}")


def _of_text(parse: Callable[[str], object]) -> Callable[[object], object]:
    """What is not text, such as a number, is left to the type itself."""
    return lambda value: parse(value) if isinstance(value, str) else value


def _of_scalar(parse: Callable[[str], LimitValue], how: str) -> PlainValidator:
    def read(value: object) -> LimitValue:
        if isinstance(value, LimitValue):
            return value
        if isinstance(value, Mapping):
            raise ValueError('put a name with dots in quotes, such as "mail.rate"')
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(how)
        return parse(str(value))

    return PlainValidator(read, json_schema_input_type=str)


Size = Annotated[int, BeforeValidator(_of_text(parse_size)), Field(gt=0)]
"""Bytes, written as a number or as "5 GB".

Example:
    class Settings(BaseModel):
        largest: Size = 5_000_000
"""

Duration = Annotated[float, BeforeValidator(_of_text(parse_duration)), Field(gt=0)]
"""Seconds, written as a number or as "15 minutes".

Example:
    class Settings(BaseModel):
        keep: Duration = 30 * 86_400
"""

Rate = Annotated[LimitValue, _of_scalar(parse_rate, _HOW_RATE), PlainSerializer(str)]
"""A count in a period of fixed length, written as "500/minute", or "unlimited".

Example:
    class Settings(BaseModel):
        calls: Rate | None = None
"""

LimitText = Annotated[LimitValue, _of_scalar(parse_limit, _HOW), PlainSerializer(str)]
"""A limit as plans write it: "20", "5 GB", "500/month" or "unlimited"."""


def window(value: LimitValue, now: datetime) -> tuple[datetime, datetime] | None:
    """The renewal window [start, end) that `now` (aware) lies in, in UTC; None for a limit that never renews.

    Months and years are the calendar's, weeks begin on Monday, days at midnight UTC.
    """
    if value.period is None:
        return None
    now = now.astimezone(UTC)
    if value.seconds is not None:
        length = timedelta(seconds=value.seconds)
        start = _MONDAY + (now - _MONDAY) // length * length
        return start, start + length
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if value.period == "year":
        start = start.replace(month=1)
        return start, start.replace(year=start.year + 1)
    return start, (start + timedelta(days=32)).replace(day=1)
