"""Count messages by outcome per day, category or template, and measure the queue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Literal

from pypika_tortoise.context import SqlContext
from pypika_tortoise.terms import Function as SqlFunction
from tortoise.expressions import Expression, Function, Q
from tortoise.functions import Count, Min, Sum
from tortoise.queryset import QuerySet

from host.sdk import Row, ValidationFailed

from ..models import OPEN, Message, Status

By = Literal["day", "category", "template"]

LONGEST = timedelta(days=366)
MOST_ROWS = 1_000

_COUNTS: Mapping[str, Expression] = {
    "accepted": Count("id"),
    "sent": Count("id", _filter=Q(sent_at__isnull=False)),
    # Whoever complains has received the message.
    "delivered": Count("id", _filter=Q(status__in=[Status.DELIVERED, Status.COMPLAINED])),
    "bounced": Count("id", _filter=Q(status=Status.BOUNCED)),
    "complained": Count("id", _filter=Q(status=Status.COMPLAINED)),
    "failed": Count("id", _filter=Q(status=Status.FAILED)),
    "suppressed": Count("id", _filter=Q(status=Status.SUPPRESSED)),
    "opens": Sum("opens"),
    "clicks": Sum("clicks"),
}


_QUARTER = 900  # seconds: every time zone's days begin at a quarter of an hour of UTC


class _SqlQuarter(SqlFunction):
    """The number of the quarter of an hour since 1970 that a time lies in, on either database."""

    def __init__(self, term: Any) -> None:
        super().__init__("QUARTER", term)

    def get_function_sql(self, ctx: SqlContext) -> str:
        sql: str = self.args[0].get_sql(ctx.copy(with_alias=False))
        if ctx.dialect.value == "postgresql":
            return f"CAST(FLOOR(EXTRACT(EPOCH FROM {sql}) / {_QUARTER}) AS BIGINT)"
        return f"CAST(strftime('%s', substr({sql}, 1, 19)) AS INTEGER) / {_QUARTER}"  # kept in UTC; %s rounds


class _Quarter(Function):
    database_func = _SqlQuarter


async def stats(first: date, last: date, by: By, timezone: tzinfo) -> list[Row]:
    """What became of the messages accepted on these days of a time zone, both included, in order of the grouping.

    Each row holds `day` (or `category`, or `template`; "" without one), accepted, sent, delivered, bounced, complained,
    failed, suppressed, opens, clicks. `sent` counts messages ever handed to a provider, the others the current status.

    Raises:
        ValidationFailed: the days are in the wrong order, or more than a year.
    """
    if not timedelta(0) <= last - first <= LONGEST:
        raise ValidationFailed(details={"from": f"Give a day up to {LONGEST.days} days before `to`."})
    begin, end = (datetime.combine(day, time(), timezone).astimezone(UTC) for day in (first, last + timedelta(days=1)))
    within = Message.filter(created_at__gte=begin, created_at__lt=end)
    if by == "day":
        return await _by_day(within, timezone)
    rows = within.annotate(**_COUNTS).group_by(by).order_by(by).limit(MOST_ROWS).values(by, *_COUNTS)
    return [{by: str(row[by]), **_numbers(row)} for row in await rows]


async def _by_day(within: QuerySet[Message], timezone: tzinfo) -> list[Row]:
    quarters = within.annotate(quarter=_Quarter("created_at"), **_COUNTS).group_by("quarter")
    days: dict[str, dict[str, int]] = {}
    for row in await quarters.values("quarter", *_COUNTS):
        day = datetime.fromtimestamp(int(row["quarter"]) * _QUARTER, timezone).date().isoformat()
        total = days.setdefault(day, dict.fromkeys(_COUNTS, 0))
        for name, count in _numbers(row).items():
            total[name] += count
    return [{"day": day, **total} for day, total in sorted(days.items())]


def _numbers(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(row[name] or 0) for name in _COUNTS}


async def waiting() -> dict[str, int]:
    """Count the waiting messages of the bound tenant by status."""
    counted = Message.filter(status__in=OPEN, due_at__isnull=False).annotate(count=Count("id")).group_by("status")
    return {str(status): count for status, count in sorted(await counted.values_list("status", "count"))}


async def queue() -> Row:
    """The queue of due messages: `length`, and `oldest_seconds` for which the oldest has been due."""
    now = datetime.now(UTC)
    due = Message.filter(status__in=OPEN, due_at__lte=now)
    [row] = await due.annotate(length=Count("id"), oldest=Min("due_at")).values("length", "oldest")
    oldest = row["oldest"]
    if isinstance(oldest, str):  # SQLite stores times as text
        oldest = datetime.fromisoformat(oldest)
    if oldest is not None and oldest.tzinfo is None:
        oldest = oldest.replace(tzinfo=UTC)
    return {"length": row["length"], "oldest_seconds": 0.0 if oldest is None else (now - oldest).total_seconds()}
