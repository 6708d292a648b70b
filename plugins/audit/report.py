"""The report: who did how much of what in a stretch of time, and what an auditor asks for first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

from tortoise.expressions import Q
from tortoise.functions import Count
from tortoise.queryset import QuerySet

from host.sdk import Row, ValidationFailed, tenant, zone

from .models import Entry

LONGEST = timedelta(days=366)
USUAL = timedelta(days=30)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
MOST = 100  # lines of each part
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "access_changes": ("tenant.members.", "tenant.roles.", "tenant.invitations.", "tenant.api_keys.", "auth."),
    "plugin_changes": ("tenant.plugins.",),
    "plan_changes": ("tenant.plan.", "tenant.limits.", "tenant.tenant."),
}
"""Parts that list single entries, by how their actions begin."""

_LINE = ("id", "at", "actor_kind", "actor_id", "actor_label", "action", "resource_type", "resource_id", "outcome")
_LINE_FIELDS = (*_LINE, "before", "after", "reason")


async def report(start: datetime | None, end: datetime | None) -> dict[str, Any]:
    """The bound tenant's report; the last 30 days where nothing else is said.

    Returns:
        `from` and `to` (UTC), `timezone` (in which its days begin), `entries` (how many), `by_outcome`, `by_actor`,
        `by_action`, `by_day` (every day, also empty ones), the parts named in `SECTIONS`, and `refused`; the newest and
        the most first, 100 of each at most.

    Raises:
        ValidationFailed: `end` is not after `start`, or more than 366 days lie between them.
    """
    until = end or datetime.now(UTC)
    since = start or max(until, EARLIEST) - USUAL
    if not timedelta(0) < until - since <= LONGEST:
        raise ValidationFailed(details={"from": f"must be before `to`, by {LONGEST.days} days at most"})
    here = await tenant()
    found = Entry.filter(at__gte=since, at__lt=until)
    outcomes = {row["outcome"]: row["entries"] for row in await _counted(found, "outcome")}
    done = found.filter(outcome="succeeded")
    changes = {name: await _lines(done.filter(_begins(prefixes))) for name, prefixes in SECTIONS.items()}
    return {
        "from": since,
        "to": until,
        "entries": sum(outcomes.values()),
        "by_outcome": outcomes,
        "by_actor": await _counted(found, "actor_kind", "actor_id", "actor_label"),
        "by_action": await _counted(found, "action"),
        "timezone": here.timezone,
        "by_day": await _by_day(since, until, zone(here.timezone)),
        **changes,
        "refused": await _lines(found.filter(outcome__in=["denied", "failed"])),
    }


async def _counted(found: QuerySet[Entry], *fields: str) -> list[Row]:
    grouped = found.annotate(entries=Count("id")).group_by(*fields).order_by("-entries", *fields).limit(MOST)
    return [dict(row) for row in await grouped.values(*fields, "entries")]


async def _lines(found: QuerySet[Entry]) -> list[Row]:
    return [dict(row) for row in await found.order_by("-at", "-id").limit(MOST).values(*_LINE_FIELDS)]


async def _by_day(since: datetime, until: datetime, place: tzinfo) -> list[Row]:
    days, begin = [], since
    while begin < until:
        day = begin.astimezone(place).date()
        end = min(until, datetime.combine(day + timedelta(days=1), time(), place).astimezone(UTC))
        days.append({"day": day, "entries": await Entry.filter(at__gte=begin, at__lt=end).count()})
        begin = end
    return days


def _begins(prefixes: tuple[str, ...]) -> Q:
    return Q(*(Q(action__startswith=prefix) for prefix in prefixes), join_type="OR")
