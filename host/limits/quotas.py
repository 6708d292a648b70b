"""Quotas: so much in a calendar window or in all, spent by one statement in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from host.errors import QuotaExceeded
from host.instruments import tally
from host.limits.models import QuotaUse
from tenants.context import current
from tenants.limits import LimitValue, window

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
# One statement, so that no two spenders see the same room. PostgreSQL makes the second wait for the first one's commit
# and then looks at the room again; SQLite has one writer at a time.
_SPEND = """
INSERT INTO "quota_uses" ("id", "tenant_id", "limit_name", "window_start", "used") VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ("tenant_id", "limit_name", "window_start") DO UPDATE SET "used" = "quota_uses"."used" + excluded."used"
{only} RETURNING "used"
"""
_GIVE_BACK = """
UPDATE "quota_uses" SET "used" = CASE WHEN "used" > $4 THEN "used" - $4 ELSE 0 END
WHERE "tenant_id" = $1 AND "limit_name" = $2 AND "window_start" = $3 RETURNING "used"
"""
_SET = """
INSERT INTO "quota_uses" ("id", "tenant_id", "limit_name", "window_start", "used") VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ("tenant_id", "limit_name", "window_start") DO UPDATE SET "used" = excluded."used" RETURNING "used"
"""
_LIMITED = _SPEND.format(only='WHERE "quota_uses"."used" + excluded."used" <= $6')
_UNLIMITED = _SPEND.format(only="")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Quotas:
    """What the bound tenant has used of its quotas. A rollback takes everything back that its transaction spent.

    Spending locks the counter until the transaction ends: spend late in it, and never wait for the outside after.
    What is unlimited is counted too, so that a smaller plan begins with the truth.
    """

    def __init__(self, *, now: Callable[[], datetime] = _utc_now) -> None:
        self._now = now

    async def spend(self, name: str, amount: int, value: LimitValue) -> int:
        """Spend `amount` of the quota `name` that is `value` large; how much is used now.

        Raises:
            QuotaExceeded: there is not that much left; nothing was spent. Details: name, limit, used, resets_at.
            ValueError: the amount is negative.
        """
        if amount < 0:
            raise ValueError("spend takes 0 or more; to give back, call give_back")
        if amount == 0:
            return await self.used(name, value)
        start = self._start(value)
        if value.amount is not None and amount > value.amount:  # a first row has no earlier use to compare with
            raise await self._exceeded(name, value)
        row = (uuid7(), current(), name, start, amount)
        if value.amount is None:
            spent = await _run(_UNLIMITED, *row)
        else:
            spent = await _run(_LIMITED, *row, value.amount)
        if not spent:
            raise await self._exceeded(name, value)
        return int(spent[0]["used"])

    async def give_back(self, name: str, amount: int, value: LimitValue) -> int:
        """Give back what was spent in the current window, never below 0; how much is used now."""
        if amount < 0:
            raise ValueError("give_back takes 0 or more")
        left = await _run(_GIVE_BACK, current(), name, self._start(value), amount)
        return int(left[0]["used"]) if left else 0

    async def used(self, name: str, value: LimitValue) -> int:
        """How much is used in the current window."""
        use = await QuotaUse.get_or_none(limit_name=name, window_start=self._start(value))
        return use.used if use else 0

    async def used_of(self, values: Mapping[str, LimitValue]) -> dict[str, int]:
        """How much is used of each quota in its current window, by name; one query."""
        rows = await QuotaUse.filter(limit_name__in=list(values)).values_list("limit_name", "window_start", "used")
        found = {(name, start): used for name, start, used in rows}
        return {name: found.get((name, self._start(value)), 0) for name, value in values.items()}

    async def reconcile(self, name: str, value: LimitValue, true_count: int) -> int:
        """Set the count of the current window to what was really counted; how far off it was."""
        before = await self.used(name, value)
        await _run(_SET, uuid7(), current(), name, self._start(value), true_count)
        return true_count - before

    def resets_at(self, value: LimitValue) -> datetime | None:
        """When the current window ends; None for a standing quota."""
        bounds = window(value, self._now())
        return bounds[1] if bounds else None

    def _start(self, value: LimitValue) -> datetime:
        bounds = window(value, self._now())
        return bounds[0] if bounds else _EVER

    async def _exceeded(self, name: str, value: LimitValue) -> QuotaExceeded:
        tally("tenantry_quota_refusals_total", name)
        used, resets_at = await self.used(name, value), self.resets_at(value)
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


async def _run(sql: str, *values: Any) -> list[dict[str, Any]]:
    database = QuotaUse._meta.db
    if database.capabilities.dialect != "sqlite":
        return await database.execute_query_dict(sql, list(values))
    return await database.execute_query_dict(sql.replace("$", "?"), [_as_sqlite_keeps(value) for value in values])


def _as_sqlite_keeps(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat(" ") if isinstance(value, datetime) else value
