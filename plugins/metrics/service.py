"""Check scrape access, store each tenant's use by day and summarise it."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address

from host.sdk import (
    DURATIONS,
    Actor,
    DayOfUse,
    PermissionDenied,
    Row,
    TakenUse,
    Unauthenticated,
    taken_use,
    unit_of_work,
    usage,
)

from .models import DailyUse
from .settings import Settings

KEPT_DAYS = 400
"""Days of use to keep: a year, and a month to compare with the year before."""


# -- scraping --------------------------------------------------------------------------------------------


def check_scraper(allowed: Settings, actor: Actor, authorization: str, address: str) -> None:
    """Allow operators, holders of the scrape token and configured addresses.

    Raises:
        PermissionDenied: the caller is signed in and not an operator.
        Unauthenticated: the caller is anonymous.
    """
    if actor.is_operator or _is_listed(allowed, address) or _is_token(allowed, authorization):
        return
    if actor.kind != "anonymous":
        raise PermissionDenied("Only operators of this deployment may scrape it.", details={"permission": "operator"})
    raise Unauthenticated("Send the scrape token (TENANTRY_METRICS__TOKEN) or an operator's access token as Bearer.")


def _is_token(allowed: Settings, authorization: str) -> bool:
    """Compare digests, so that the time taken reveals neither the token nor its length."""
    token = allowed.token.get_secret_value()
    scheme, _, sent = authorization.partition(" ")
    equal = hmac.compare_digest(sha256(sent.strip().encode()).digest(), sha256(token.encode()).digest())
    return bool(token) and scheme.lower() == "bearer" and equal


def _is_listed(allowed: Settings, address: str) -> bool:
    try:
        caller = ip_address(address)  # normalised already; empty for a Unix socket
    except ValueError:
        return False
    return any(caller in network for network in allowed.addresses)


# -- use by day ------------------------------------------------------------------------------------------


async def roll_up() -> None:
    """Store the bound tenant's use since the last call, exactly once even if interrupted or repeated."""
    used = {row["name"]: row["used"] for row in await usage() if row["used"] is not None}
    async with taken_use() as taken, unit_of_work():
        await _keep(taken, used)


async def summary(days: int) -> Row:
    """The bound tenant's last `days` days (UTC), today first, and their total."""
    await roll_up()
    today = _today()
    rows = {row.day: row for row in await DailyUse.filter(day__gt=today - timedelta(days=days))}
    listed = [_shape([rows[day]] if day in rows else [], day) for day in _days_back(today, days)]
    total = _shape(rows.values(), None)
    return {"days": listed, "total": total, "usage": await usage()}


async def _keep(taken: TakenUse, used: Mapping[str, int]) -> None:
    today = _today()
    by_day = {use.day: use for use in taken.days}
    days = sorted({*by_day, today})
    await DailyUse.bulk_create([DailyUse(day=day) for day in days], ignore_conflicts=True)
    for row in await DailyUse.filter(day__in=days).order_by("day").select_for_update():
        if row.day == today:
            row.used = dict(used)
        if row.day in by_day and row.batch != taken.batch:
            _add(row, by_day[row.day])
            row.batch = taken.batch
        await row.save()
    await DailyUse.filter(day__lt=today - timedelta(days=KEPT_DAYS)).delete()


def _add(row: DailyUse, use: DayOfUse) -> None:
    row.succeeded += use.succeeded
    row.refused += use.refused
    row.failed += use.failed
    row.seconds += use.seconds
    row.counts = _sum_buckets([row.counts, use.counts])


def _shape(rows: Iterable[DailyUse], day: date | None) -> Row:
    rows = list(rows)
    succeeded, refused = sum(row.succeeded for row in rows), sum(row.refused for row in rows)
    failed = sum(row.failed for row in rows)
    requests, counts = succeeded + refused + failed, _sum_buckets(row.counts for row in rows)
    shape: Row = {
        "requests": requests,
        "succeeded": succeeded,
        "refused": refused,
        "failed": failed,
        "error_rate": failed / requests if requests else 0.0,
        "mean_ms": _milliseconds(sum(row.seconds for row in rows) / requests) if requests else None,
        "p50_ms": _milliseconds(quantile(counts, 0.5)),
        "p95_ms": _milliseconds(quantile(counts, 0.95)),
    }
    return shape if day is None else {"day": day, **shape, "used": rows[0].used if rows else {}}


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The time in seconds that this share of the answers did not exceed, estimated like Prometheus' histogram_quantile.

    Times are assumed to be spread evenly within a bucket; for the last bucket, which has no upper bound, the result is
    its lower bound. None without answers.
    """
    rank, below = sum(counts) * share, 0
    for bucket, number in enumerate(counts):
        if number and below + number >= rank:
            if bucket == len(DURATIONS):
                break
            start = DURATIONS[bucket - 1] if bucket else 0.0
            return start + (DURATIONS[bucket] - start) * (rank - below) / number
        below += number
    return DURATIONS[-1] if any(counts) else None


def _sum_buckets(lists: Iterable[Sequence[int]]) -> list[int]:
    total = [0] * (len(DURATIONS) + 1)
    for counts in lists:
        for bucket, number in enumerate(counts[: len(total)]):
            total[bucket] += number
    return total


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _days_back(today: date, days: int) -> Iterable[date]:
    return (today - timedelta(days=back) for back in range(days))


def _today() -> date:
    return datetime.now(UTC).date()
