"""Count messages by outcome per day, category or template, and measure the queue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from pypika_tortoise.context import SqlContext
from pypika_tortoise.terms import Function as SqlFunction
from tortoise.expressions import Expression, Function, Q
from tortoise.functions import Count, Min, Sum

from host.sdk import Row, ValidationFailed

from ..models import OPEN, Message, Status

By = Literal["day", "category", "template"]

LONGEST = timedelta(days=366)
MOST_ROWS = 1_000

_COUNTS: Mapping[str, Expression] = {
    "accepted": Count("id"),
    "sent": Count("id", _filter=Q(sent_at__isnull=False)),
    "delivered": Count("id", _filter=Q(status__in=[Status.DELIVERED, Status.COMPLAINED])),  # who complains, has got it
    "bounced": Count("id", _filter=Q(status=Status.BOUNCED)),
    "complained": Count("id", _filter=Q(status=Status.COMPLAINED)),
    "failed": Count("id", _filter=Q(status=Status.FAILED)),
    "suppressed": Count("id", _filter=Q(status=Status.SUPPRESSED)),
    "opens": Sum("opens"),
    "clicks": Sum("clicks"),
}


class _SqlUtcDay(SqlFunction):
    """The day in UTC of a time, on either database, whatever zone the session has."""

    def __init__(self, term: Any) -> None:
        super().__init__("DATE", term)

    @staticmethod
    def get_arg_sql(arg: Any, ctx: SqlContext) -> str:
        sql: str = arg.get_sql(ctx.copy(with_alias=False))
        return f"timezone('UTC', {sql})" if ctx.dialect.value == "postgresql" else sql


class _UtcDay(Function):
    database_func = _SqlUtcDay


async def stats(first: date, last: date, by: By) -> list[Row]:
    """What became of the messages accepted on these days (UTC, both included), in order of what they are grouped by.

    Each row holds `day` (or `category`, or `template`; "" without one), accepted, sent, delivered, bounced, complained,
    failed, suppressed, opens, clicks. `sent` counts what was ever handed to a provider, the others the state of today.

    Raises:
        ValidationFailed: the days are in the wrong order, or more than a year.
    """
    if not timedelta(0) <= last - first <= LONGEST:
        raise ValidationFailed(details={"from": f"Give a day up to {LONGEST.days} days before `to`."})
    begin, end = (datetime.combine(day, time(), UTC) for day in (first, last))
    grouped: Mapping[str, Expression] = {"day": _UtcDay("created_at")} if by == "day" else {}
    within = Message.filter(created_at__gte=begin, created_at__lt=end + timedelta(days=1))
    rows = within.annotate(**grouped, **_COUNTS).group_by(by).order_by(by).limit(MOST_ROWS).values(by, *_COUNTS)
    return [{by: str(row[by]), **{name: int(row[name] or 0) for name in _COUNTS}} for row in await rows]


async def waiting() -> dict[str, int]:
    """How many messages of the bound tenant wait to be sent, by status."""
    counted = Message.filter(status__in=OPEN, due_at__isnull=False).annotate(count=Count("id")).group_by("status")
    return {str(status): count for status, count in sorted(await counted.values_list("status", "count"))}


async def queue() -> Row:
    """What is due and not handed over yet: `length`, and `oldest_seconds` that the oldest of it has been due."""
    now = datetime.now(UTC)
    due = Message.filter(status__in=OPEN, due_at__lte=now)
    [row] = await due.annotate(length=Count("id"), oldest=Min("due_at")).values("length", "oldest")
    oldest = row["oldest"]
    if isinstance(oldest, str):  # SQLite has no times of its own
        oldest = datetime.fromisoformat(oldest)
    if oldest is not None and oldest.tzinfo is None:
        oldest = oldest.replace(tzinfo=UTC)
    return {"length": row["length"], "oldest_seconds": 0.0 if oldest is None else (now - oldest).total_seconds()}
