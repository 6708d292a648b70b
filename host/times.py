"""Parse the times, time zones and cron lines that people and programs write (RFC 3339, IANA, Vixie cron)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

_EXAMPLE = "2026-01-31T09:00:00Z"
_BLANK_FOR_PLUS = re.compile(r"[T ]\d\d:?\d\d\S* \d\d(?::?\d\d)?$")


def read_time(text: str) -> datetime:
    """An RFC 3339 time, or a date, in UTC; one without an offset is taken to be in UTC.

    Raises:
        ValueError: it is none, or lies outside of the years 1 to 9999; the message says what to write.
    """
    if _BLANK_FOR_PLUS.search(text):
        raise ValueError(f"must be a time such as {_EXAMPLE}; in a query string + is written %2B, or it means a blank")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be a time such as {_EXAMPLE} or 2026-01-31T09:00:00+02:00 (RFC 3339)") from None
    return in_utc(moment)


def in_utc(moment: datetime) -> datetime:
    """A time in UTC; one without an offset is taken to be in UTC.

    Raises:
        ValueError: it lies outside of the years 1 to 9999 there.
    """
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time between the years 1 and 9999 in UTC") from None


@cache
def zone(name: str) -> tzinfo:
    """The time zone of that IANA name; UTC where this machine does not know it any more.

    Example:
        berlin = zone("Europe/Berlin")
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def zone_name(text: str) -> str:
    """The IANA name of a time zone, as it is spelt there.

    Raises:
        ValueError: there is none of that name; the message is for people.
    """
    name = _zones().get(text.strip().lower())
    if name is None:
        raise ValueError("must be the name of a time zone such as Europe/Berlin or UTC (IANA)")
    return name


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones() if name not in ("localtime", "Factory", "posixrules")}


def last_time(line: str, now: datetime, missed: timedelta) -> datetime | None:
    """The last time of a cron line up to `now`, in the time zone of `now`; None when it is longer ago than `missed`.

    Where clocks are changed, as in Debian's cron: a time that is left out comes right after, one that comes twice comes
    once, unless the line's hour is a wildcard.
    """
    last = None
    for time in CronSim(line, (now.astimezone(UTC) - missed).astimezone(now.tzinfo)):
        if time.astimezone(UTC) > now.astimezone(UTC):
            break
        last = time
    return last


def cron_problem(line: str) -> str | None:
    """What is wrong with a cron line; None when its times come some day."""
    try:
        next(CronSim(line, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        return str(error).lower() or "its time never comes"
    return None
