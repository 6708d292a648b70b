"""Delete audit entries older than the plan's retention from the start of the chain, which stays verifiable."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from host.sdk import Limit, TenantMissing, limit_value, settings, unit_of_work

from . import checkpoints, sealing
from .models import Entry
from .settings import Settings
from .signing import chain_key

RETENTION = Limit("audit.retention_days", "value", "How long entries of the audit log are kept", "days")
BATCH = 5000  # entries per transaction


async def kept_days() -> int | None:
    """How many days the bound tenant's plan keeps entries; None means for ever."""
    try:
        value, _ = await limit_value(RETENTION.name)
    except TenantMissing:  # the host's own log
        return settings(Settings).system_retention_days
    return value.amount


async def prune(now: datetime | None = None) -> int:
    """Remove the bound tenant's entries that are past their retention; returns how many.

    Removes from the start of the chain up to the first entry that stays. The hash of the last removed entry is kept and
    signed, because the next entry is bound to it. Unsealed entries stay until they are sealed.
    """
    days = await kept_days()
    if days is None:
        return 0
    until = (now or datetime.now(UTC)) - timedelta(days=days)
    key, outside, count = chain_key(), await checkpoints.stored(), 0
    while removed := await _prune_batch(key, until):
        count += removed
    if count:
        await sealing.keep_outside(key, outside)
    return count


async def _prune_batch(key: bytes, until: datetime) -> int:
    async with unit_of_work() as work:
        row, head = await sealing.hold(key, None)
        start, end = head.pruned_position, min(head.pruned_position + BATCH, head.position)
        batch = Entry.filter(position__gt=start, position__lte=end)
        staying = await batch.filter(at__gte=until).order_by("position").first()
        last = end if staying is None else (staying.position or 0) - 1
        kept = await Entry.get_or_none(position=last) if last > start else None
        if kept is None or kept.hash is None:  # nothing is old enough, or a row is missing, which `verify` reports
            return 0
        await Entry.filter(position__gt=start, position__lte=last).delete()
        await sealing.move(row, replace(head, pruned_position=last, pruned_hash=kept.hash), key)
        work.record("audit.entries.prune", "audit_log", "", after={"removed": last - start, "older_than": until})
    return last - start
