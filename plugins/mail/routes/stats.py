"""HTTP endpoint `/mail/stats`: numbers of messages by outcome, and the length of the queue."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from pydantic import BaseModel, Field

from host.sdk import Permission, Routes, Row, tenant, zone

from ..service import stats
from ..service.stats import By

routes = Routes()

PERMISSIONS = (Permission("mail.stats.read", "See statistics of all mail", ("admin", "member", "viewer")),)

_USUAL = timedelta(days=29)
_EARLIEST, _LATEST = date(2000, 1, 1), date(2999, 12, 31)


class Span(BaseModel, extra="forbid"):
    """Days in the organisation's time zone, both included; without them the last 30."""

    first: date | None = Field(default=None, alias="from", ge=_EARLIEST, le=_LATEST)
    last: date | None = Field(default=None, alias="to", ge=_EARLIEST, le=_LATEST)
    by: By = "day"


@routes.get("/mail/stats", permission="mail.stats.read", name="stats.read")
async def read_stats(query: Span) -> Row:
    """Count messages by outcome per day, category or template, and the queue."""
    name = (await tenant()).timezone
    last = query.last or datetime.now(zone(name)).date()
    first = query.first or last - _USUAL
    rows = await stats.stats(first, last, query.by, zone(name))
    return {"from": first, "to": last, "timezone": name, "by": query.by, "rows": rows, "queue": await stats.queue()}
