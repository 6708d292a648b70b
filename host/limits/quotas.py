"""Spend, give back and count a tenant's quotas, by calendar period or in total, in the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from uuid_utils.compat import uuid7

from host.errors import QuotaExceeded
from host.instruments import tally
from host.limits.models import QuotaUse, Reservation
from tenants.context import current
from tenants.limits import LimitValue, window

_LONGEST = timedelta(hours=1)  # the time one row covers; shorter in a shorter window
_BY_DAY_AFTER, _IN_ONE_AFTER = timedelta(days=8), timedelta(days=400)  # when rows are added up, see `compact`
_EVER, _NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
# Rows record use by the time it happened, whatever the plan's period is; the use in a window is their sum.
# Spending also adds 0 to the rows before and after its own, which locks them: concurrent spenders, even at the turn of
# an hour, wait for each other, and all three rows are returned as they are after the wait. No other row can grow in
# between, so one statement computes the exact sum under any concurrency.
_SPEND = """
INSERT INTO "quota_uses" ("id", "tenant_id", "limit_name", "since", "used")
VALUES ($1, $4, $5, $6, 0), ($2, $4, $5, $7, $9), ($3, $4, $5, $8, 0)
ON CONFLICT ("tenant_id", "limit_name", "since") DO UPDATE SET "used" = "quota_uses"."used" + excluded."used"
RETURNING "since" >= $10 AND "since" < $11 AS "counts", "used", (
    SELECT COALESCE(SUM("other"."used"), 0) FROM "quota_uses" AS "other" WHERE "other"."tenant_id" = $4
    AND "other"."limit_name" = $5 AND "other"."since" >= $10 AND "other"."since" < $11
    AND "other"."since" NOT IN ($6, $7, $8)
) AS "others"
"""
_CHANGE = """
INSERT INTO "quota_uses" ("id", "tenant_id", "limit_name", "since", "used") VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ("tenant_id", "limit_name", "since") DO UPDATE SET "used" = "quota_uses"."used" + excluded."used"
"""
_TAKE_OUT = """
DELETE FROM "quota_reservations" WHERE "id" = $1 AND "tenant_id" = $2 RETURNING "limit_name", "amount", "since"
"""
_AT_ONCE = 1000  # reservations given back in one sweep


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Quotas:
    """The quotas of the bound tenant. A rollback undoes what its transaction spent.

    Spending locks the counter until the transaction ends: spend late in it, and call no outside service after.
    Unlimited quotas are counted too, so that the count is right when the plan changes.
    """

    def __init__(self, *, now: Callable[[], datetime] = _utc_now) -> None:
        self._now = now

    async def spend(self, name: str, amount: int, value: LimitValue) -> int:
        """Spend `amount` of the quota `name`, which is `value`; returns how much is used now.

        Raises:
            QuotaExceeded: there is not that much left; nothing was spent. Details: name, limit, used, resets_at.
            ValueError: the amount is negative.
        """
        return await self._spend(name, amount, value, self._now())

    async def _spend(self, name: str, amount: int, value: LimitValue, now: datetime) -> int:
        if amount < 0:
            raise ValueError("spend takes 0 or more; to give back, call give_back")
        if amount == 0:
            return await self.used(name, value)
        if value.amount is not None and amount > value.amount:
            raise await self._exceeded(name, value)
        used = await self._lock(name, value, now, amount)
        if value.amount is not None and used > value.amount:
            await _run(_CHANGE, uuid7(), current(), name, _row_of(value, now), -amount)
            raise await self._exceeded(name, value)
        return max(0, used)

    async def _lock(self, name: str, value: LimitValue, now: datetime, amount: int = 0) -> int:
        """Add `amount`, and lock the counter until the transaction ends; returns how much is used now, exactly."""
        since = _row_of(value, now)
        around = _row_of(value, since - _LONGEST), since, _row_of(value, since + _LONGEST)
        ids = uuid7(), uuid7(), uuid7()
        rows = await _run(_SPEND, *ids, current(), name, *around, amount, *_bounds(value, now))
        return int(rows[0]["others"]) + sum(int(row["used"]) for row in rows if row["counts"])

    async def reserve(self, name: str, amount: int, value: LimitValue, lasts: timedelta | None) -> UUID:
        """Spend `amount`, to be settled later; raises what `spend` raises."""
        now = self._now()
        await self._spend(name, amount, value, now)
        lapses_at = now + lasts if lasts is not None else None
        made = await Reservation.create(limit_name=name, amount=amount, since=_row_of(value, now), lapses_at=lapses_at)
        return made.id

    async def settle(self, reservation: UUID, amount: int) -> bool:
        """Replace a reservation by what was used, which may be more; False when there is none (any more)."""
        if amount < 0:
            raise ValueError("settle takes 0 or more")
        rows = await _run(_TAKE_OUT, reservation, current())
        for row in rows:
            since = row["since"] if isinstance(row["since"], datetime) else datetime.fromisoformat(row["since"])
            await _run(_CHANGE, uuid7(), current(), row["limit_name"], since, amount - int(row["amount"]))
        return bool(rows)

    async def release_lapsed(self) -> int:
        """Give back the bound tenant's reservations that have lapsed; how many there were."""
        lapsed = await Reservation.filter(lapses_at__lte=self._now()).limit(_AT_ONCE).values_list("id", flat=True)
        return sum([await self.settle(cast(UUID, reservation), 0) for reservation in lapsed])

    async def give_back(self, name: str, amount: int, value: LimitValue, spent_at: datetime | None = None) -> int:
        """Give back what was spent at `spent_at` (now, when that is not known), never below 0.

        It is given back in the window that it was spent in, and the return value is what is used in that window now:
        giving back in a past month frees nothing in this one.
        """
        if amount < 0:
            raise ValueError("give_back takes 0 or more")
        when = min(spent_at or self._now(), self._now())
        spent = await self.used(name, value, when)
        returned = min(amount, spent)
        await _run(_CHANGE, uuid7(), current(), name, _row_of(value, when), -returned)
        return spent - returned

    async def used(self, name: str, value: LimitValue, at: datetime | None = None) -> int:
        """How much was used in the window that `at` is in; now, without it."""
        begins, ends = _bounds(value, at or self._now())
        rows = await QuotaUse.filter(limit_name=name, since__gte=begins, since__lt=ends).values_list("used", flat=True)
        return max(0, sum(cast(Sequence[int], rows)))

    async def reconcile(self, name: str, value: LimitValue, true_count: int) -> int:
        """Set the current window's count to `true_count` and what is reserved in it; returns the difference.

        Call it in a transaction: spenders wait until it ends.
        """
        now = self._now()
        before, (begins, ends) = await self._lock(name, value, now), _bounds(value, now)
        reserved = await Reservation.filter(limit_name=name, since__gte=begins, since__lt=ends).values_list(
            "amount", flat=True
        )
        difference = true_count + sum(cast(Sequence[int], reserved)) - before
        await _run(_CHANGE, uuid7(), current(), name, _row_of(value, now), difference)
        return difference

    async def compact(self) -> int:
        """Merge the bound tenant's old rows: by day after a week, into one after a year; returns how many were removed.

        Call it in a transaction. Every calendar window that is still open keeps its own rows.
        """
        now = self._now()
        sums: dict[tuple[str, datetime], int] = defaultdict(int)
        old_ids = []
        for row in await QuotaUse.filter(since__lt=now - _BY_DAY_AFTER, since__gt=_EVER).select_for_update():
            day = row.since.replace(hour=0, minute=0, second=0, microsecond=0)
            into = _EVER if row.since < now - _IN_ONE_AFTER else day
            if into != row.since:
                sums[row.limit_name, into] += row.used
                old_ids.append(row.id)
        for start in range(0, len(old_ids), 500):
            await QuotaUse.filter(id__in=old_ids[start : start + 500]).delete()
        for (name, since), used in sorted(sums.items()):
            if "@" in name and since == _EVER:
                continue  # one person's: forgotten after a year
            await _run(_CHANGE, uuid7(), current(), name, since, used)
        return len(old_ids)

    def resets_at(self, value: LimitValue) -> datetime | None:
        """When the current window ends; None for a quota that never renews."""
        bounds = window(value, self._now())
        return bounds[1] if bounds else None

    def refuse_beyond(self, name: str, value: LimitValue, used: int, amount: int) -> None:
        """Check that `amount` more than `used`, counted elsewhere, is within the quota; nothing is written.

        Raises:
            QuotaExceeded: it is not.
        """
        if value.amount is not None and used + amount > value.amount:
            raise self._refusal(name, value, used)

    async def _exceeded(self, name: str, value: LimitValue) -> QuotaExceeded:
        return self._refusal(name, value, await self.used(name, value))

    def _refusal(self, name: str, value: LimitValue, used: int) -> QuotaExceeded:
        tally("tenantry_quota_refusals_total", name)
        resets_at = self.resets_at(value)
        renews = f"; it renews at {resets_at:%Y-%m-%d %H:%M} UTC" if resets_at else ""
        return QuotaExceeded(
            f"The plan allows {value} ({name}), of which {used} are used{renews}.",
            details={
                "name": name,
                "limit": value.amount,
                "used": used,
                "resets_at": resets_at.isoformat().replace("+00:00", "Z") if resets_at else None,
            },
        )


def _bounds(value: LimitValue, at: datetime) -> tuple[datetime, datetime]:
    """The window that a time is in; all of time for a quota that never renews."""
    return window(value, at) or (_EVER, _NEVER)


def _row_of(value: LimitValue, at: datetime) -> datetime:
    """When the row begins that a use at this time belongs to: with its hour, or with its window inside of it."""
    return max(at.astimezone(UTC).replace(minute=0, second=0, microsecond=0), _bounds(value, at)[0])


async def _run(sql: str, *values: Any) -> list[dict[str, Any]]:
    database = QuotaUse._meta.db
    if database.capabilities.dialect != "sqlite":
        return await database.execute_query_dict(sql, list(values))
    return await database.execute_query_dict(sql.replace("$", "?"), [_as_sqlite_keeps(value) for value in values])


def _as_sqlite_keeps(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat(" ") if isinstance(value, datetime) else value
