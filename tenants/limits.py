"""Parse and format the values of plan limits, and compute when a limit renews."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_SIZES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}  # 5 GB is 5 × 1024³ bytes, as in file lists
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_CALENDAR = ("month", "year")  # their length differs, so they have no seconds
_LIMIT = re.compile(r"(?P<number>\d[\d_,]*)\s*(?P<size>[KMGT]?B)?(?:\s*/\s*(?P<count>\d+\s+)?(?P<period>[a-z]+?)s?)?")
_HOW = 'write "20", "5 GB", "500/month", "5/15 minutes" or "unlimited"'
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # weeks, and with them all fixed windows, are counted from here


class LimitError(ValueError):
    """The text is no limit; the message says how one is written."""


@dataclass(frozen=True, slots=True)
class LimitValue:
    """How much: `amount` (None: unlimited) of things or, when `is_size`, bytes, in each `period` (None: ever).

    period: "month", "minute", "15 minutes". seconds: its length; None for none and for month and year, which are
    calendar ones in UTC. `str()` writes what `parse_limit` reads.
    """

    amount: int | None
    period: str | None = None
    seconds: int | None = None
    is_size: bool = False

    @property
    def unlimited(self) -> bool:
        """Whether there is no limit at all."""
        return self.amount is None

    def __str__(self) -> str:
        if self.amount is None:
            return "unlimited"
        text = _size(self.amount) if self.is_size else str(self.amount)
        return f"{text}/{self.period}" if self.period else text


def _size(amount: int) -> str:
    unit = next(name for name in reversed(_SIZES) if amount % _SIZES[name] == 0) if amount else "B"
    return f"{amount // _SIZES[unit]} {unit}"


def parse_limit(text: str) -> LimitValue:
    """Read a limit: a number or a size in units of 1024, with a period where it renews, or "unlimited".

    Raises:
        LimitError: it is none of these.
    """
    plain = text.strip()
    if plain.lower() == "unlimited":
        return LimitValue(amount=None)
    match = _LIMIT.fullmatch(plain)
    if match is None:
        raise LimitError(f"{text!r} is not a limit: {_HOW}")
    size, count, unit = match["size"], int(match["count"] or 1), match["period"]
    amount = int(match["number"].replace("_", "").replace(",", "")) * _SIZES.get(size or "B", 1)
    if unit is None:
        return LimitValue(amount=amount, is_size=size is not None)
    if count < 1 or (unit in _CALENDAR and count != 1) or unit not in (*_SECONDS, *_CALENDAR):
        raise LimitError(f"{text!r} has no known period: {_HOW}")
    seconds = None if unit in _CALENDAR else _SECONDS[unit] * count
    return LimitValue(amount, unit if count == 1 else f"{count} {unit}s", seconds, is_size=size is not None)


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
