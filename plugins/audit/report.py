"""Build the audit report of a period: counts by actor, action and day, access changes, refused attempts."""

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
MOST = 100  # rows of each section
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "access_changes": ("tenant.members.", "tenant.roles.", "tenant.invitations.", "tenant.api_keys.", "auth."),
    "plugin_changes": ("tenant.plugins.",),
    "plan_changes": ("tenant.plan.", "tenant.limits.", "tenant.tenant."),
}
"""Sections that list single entries, with the prefixes of their actions' names."""

_LINE = ("id", "at", "actor_kind", "actor_id", "actor_label", "action", "resource_type", "resource_id", "outcome")
_LINE_FIELDS = (*_LINE, "before", "after", "reason")


async def report(start: datetime | None, end: datetime | None) -> dict[str, Any]:
    """The bound tenant's report; by default on the last 30 days.

    Returns:
        `from` and `to` (UTC), `timezone` (in which its days begin), `entries` (how many), `by_outcome`, `by_actor`,
        `by_action`, `by_day` (every day, also empty ones), the sections named in `SECTIONS`, and `refused`. Entries are
        ordered from the newest, counts from the highest; at most 100 of each.

    Raises:
        ValidationFailed: `end` is not after `start`, or more than 366 days lie between them.
    """
    until = end or datetime.now(UTC)
    since = start or max(until, EARLIEST) - USUAL
    if not timedelta(0) < until - since <= LONGEST:
        raise ValidationFailed(details={"from": f"must be before `to`, by {LONGEST.days} days at most"})
    organisation = await tenant()
    entries = Entry.filter(at__gte=since, at__lt=until)
    outcomes = {row["outcome"]: row["entries"] for row in await _counted(entries, "outcome")}
    done = entries.filter(outcome="succeeded")
    changes = {name: await _lines(done.filter(_begins(prefixes))) for name, prefixes in SECTIONS.items()}
    return {
        "from": since,
        "to": until,
        "entries": sum(outcomes.values()),
        "by_outcome": outcomes,
        "by_actor": await _counted(entries, "actor_kind", "actor_id", "actor_label"),
        "by_action": await _counted(entries, "action"),
        "timezone": organisation.timezone,
        "by_day": await _by_day(since, until, zone(organisation.timezone)),
        **changes,
        "refused": await _lines(entries.filter(outcome__in=["denied", "failed"])),
    }


async def _counted(entries: QuerySet[Entry], *fields: str) -> list[Row]:
    grouped = entries.annotate(entries=Count("id")).group_by(*fields).order_by("-entries", *fields).limit(MOST)
    return [dict(row) for row in await grouped.values(*fields, "entries")]


async def _lines(entries: QuerySet[Entry]) -> list[Row]:
    return [dict(row) for row in await entries.order_by("-at", "-id").limit(MOST).values(*_LINE_FIELDS)]


async def _by_day(since: datetime, until: datetime, timezone: tzinfo) -> list[Row]:
    days, begin = [], since
    while begin < until:
        day = begin.astimezone(timezone).date()
        end = min(until, datetime.combine(day + timedelta(days=1), time(), timezone).astimezone(UTC))
        days.append({"day": day, "entries": await Entry.filter(at__gte=begin, at__lt=end).count()})
        begin = end
    return days


def _begins(prefixes: tuple[str, ...]) -> Q:
    return Q(*(Q(action__startswith=prefix) for prefix in prefixes), join_type="OR")
