"""Pydantic types shared by requests, settings and commands: one-line names, times, time zones."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StringConstraints

from host.times import in_utc, read_time, zone_name
from tenants.text import one_line


def _time(value: Any) -> Any:
    return read_time(value) if isinstance(value, str) else value


def _with_offset(value: Any) -> Any:
    moment = _time(value)
    if isinstance(value, str) and not value.endswith(("Z", "z")) and datetime.fromisoformat(value).tzinfo is None:
        raise ValueError("must say its offset from UTC, such as Z or +02:00 at the end")
    return moment


Time = Annotated[datetime, BeforeValidator(_time), AfterValidator(in_utc)]
"""A time of a query, in UTC; a date stands for its beginning, and without an offset UTC is meant.

Example:
    class ReportQuery(BaseModel):
        since: Time | None = None
"""

Instant = Annotated[datetime, BeforeValidator(_with_offset), AfterValidator(in_utc)]
"""A time in UTC that must be written with its offset: for times at which something is to happen.

Example:
    class NewReminder(BaseModel):
        at: Instant
"""


def _one_line_or_none(text: str) -> str:
    return one_line(text) if text else text


OneLine = AfterValidator(_one_line_or_none)
"""Marks text of one line, composed (NFC), perhaps empty: `Annotated[str, Field(max_length=500), OneLine]`.

Example:
    Tag = Annotated[str, StringConstraints(max_length=50), OneLine]
"""

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), OneLine]
"""The name of a person, organisation or thing: one line of 1 to 200 characters, surrounding blanks removed.

Example:
    class NewNote(BaseModel):
        title: Name
"""

Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), OneLine]
"""A `Name` that may be left empty.

Example:
    class NewNote(BaseModel):
        title: Title
"""

TimeZone = Annotated[str, StringConstraints(max_length=63), AfterValidator(zone_name)]
"""The IANA name of a time zone."""
