"""One event that a mail provider reports by webhook, in the form all share, and helpers to parse it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import orjson

from host.sdk import BadRequest, PayloadTooLarge

from ..addresses import parse_address

Kind = Literal["deferred", "delivered", "bounced", "answered", "complained", "opened", "clicked", "unsubscribed"]
Unwanted = Literal["bounce", "complaint"]

MAX_BODY = 2 * 1024 * 1024
"""Bytes of one call, at most; SendGrid, which sends the largest ones, stops at 768 KB."""

MAX_EVENTS = 2_000
"""Events of one call, at most."""

_DETAIL, _EVENT_ID = 500, 200  # characters kept
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Feedback:
    """One event that a provider reports.

    reference: the signed token of our message. event: the provider's id of the event, the same when it is repeated.
    suppress: the reason to suppress the recipient; None: do not suppress. perhaps_answer: whether this bounce may be an
    automatic answer, such as an out-of-office note.
    """

    reference: str
    kind: Kind
    at: datetime
    recipient: str
    event: str
    detail: str = ""
    suppress: Unwanted | None = None
    perhaps_answer: bool = False


def json_of(body: bytes) -> object:
    """The body as JSON.

    Raises:
        BadRequest: it is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON.") from None


def check_number(events: Sequence[object]) -> None:
    """Raise PayloadTooLarge when there are more events than one call may contain."""
    if len(events) > MAX_EVENTS:
        raise PayloadTooLarge(f"{len(events)} events are more than the {MAX_EVENTS} that one call may contain.")


def check_age(at: datetime, tolerance: timedelta) -> None:
    """Raise BadRequest when a call was signed too long ago, or too far in the future, to be accepted."""
    if abs(datetime.now(UTC) - at) > tolerance:
        raise BadRequest(f"The call was signed at {at.isoformat()}, which differs from now by more than {tolerance}.")


def refused_signature() -> BadRequest:
    """The error for every wrong signature, whatever is wrong with it."""
    return BadRequest("The signature does not match this provider's key.")


def part(value: object, *names: str) -> object:
    """The value at this path of nested objects; None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def items(value: object) -> list[object]:
    """The items of a list; [] for anything else."""
    return value if isinstance(value, list) else []


def text(value: object, length: int = _DETAIL) -> str:
    """Text as it may be stored: without control characters, cut to `length`; "" for anything but text."""
    return _CONTROLS.sub(" ", value).strip()[:length] if isinstance(value, str) else ""


def event_id(value: object) -> str:
    """A provider's id of an event."""
    return text(value, _EVENT_ID)


def address(value: object) -> str:
    """A recipient in the spelling of stored addresses; "" when it is not a valid address."""
    try:
        return parse_address(value).key if isinstance(value, str) else ""
    except ValueError:
        return ""


def unix_time(value: object) -> datetime | None:
    """A Unix time, given as a number or in digits; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def iso_time(value: object) -> datetime | None:
    """An ISO 8601 time; None for anything else."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if time is None:
        return None
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        return None


def happened_at(known: datetime | None) -> datetime:
    """The time of an event: the provider's, but not in the future; now where it gives none."""
    now = datetime.now(UTC)
    return now if known is None else min(known, now)
