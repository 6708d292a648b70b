"""One provider event in the form all providers share, and helpers to parse it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import orjson

from host.sdk import BadRequest, PayloadTooLarge

from ...addresses import parse_address

Kind = Literal["deferred", "delivered", "bounced", "complained", "opened", "clicked", "unsubscribed"]
Unwanted = Literal["bounce", "complaint"]

MAX_BODY = 2 * 1024 * 1024
"""Bytes of one call: SendGrid, which sends the largest, stops at 768 KB."""

MAX_EVENTS = 2_000
"""Events of one call."""

_DETAIL, _EVENT_ID = 500, 200  # characters kept
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a provider sent it: the raw body, because signatures are over bytes, and headers by lower case."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a provider says happened.

    reference: the pass that our message carried. event: the provider's own id, the same when it tells it again.
    suppress: why the recipient gets no more mail; None where that is not called for.
    """

    reference: str
    kind: Kind
    at: datetime
    recipient: str
    event: str
    detail: str = ""
    suppress: Unwanted | None = None


def json_of(body: bytes) -> object:
    """The body as JSON.

    Raises:
        BadRequest: it is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON.") from None


def check_number(events: Sequence[object]) -> None:
    """Raise PayloadTooLarge when there are more events than one call may bring."""
    if len(events) > MAX_EVENTS:
        raise PayloadTooLarge(f"{len(events)} events are more than the {MAX_EVENTS} that one call may bring.")


def check_age(at: datetime, tolerance: timedelta) -> None:
    """Raise BadRequest when a call was signed too long ago, or too far in the future, to be believed."""
    if abs(datetime.now(UTC) - at) > tolerance:
        raise BadRequest(f"The call was signed at {at.isoformat()}, which is more than {tolerance} away from now.")


def refused_signature() -> BadRequest:
    """What every wrong signature is answered with, whatever is wrong with it."""
    return BadRequest("The signature is not the one this provider's key gives.")


def part(value: object, *names: str) -> object:
    """What is found in nested objects by these names; None where there is nothing, or no object."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def items(value: object) -> list[object]:
    """The items of a list; none where there is no list."""
    return value if isinstance(value, list) else []


def text(value: object, length: int = _DETAIL) -> str:
    """Text as it may be stored: without control characters, cut to `length`; "" for anything else than text."""
    return _CONTROLS.sub(" ", value).strip()[:length] if isinstance(value, str) else ""


def event_id(value: object) -> str:
    """A provider's id of an event."""
    return text(value, _EVENT_ID)


def address(value: object) -> str:
    """A recipient as we store addresses; "" for what is none."""
    try:
        return parse_address(value).key if isinstance(value, str) else ""
    except ValueError:
        return ""


def unix_time(value: object) -> datetime | None:
    """Seconds since 1970, as a number or in digits; None for what is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def iso_time(value: object) -> datetime | None:
    """A time as ISO 8601 writes it; None for what is none."""
    try:
        known = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if known is None:
        return None
    try:
        return known.replace(tzinfo=UTC) if known.tzinfo is None else known.astimezone(UTC)
    except OverflowError:
        return None


def happened_at(known: datetime | None) -> datetime:
    """When an event happened: as the provider says, but not in the future; now where it does not say."""
    now = datetime.now(UTC)
    return now if known is None else min(known, now)
