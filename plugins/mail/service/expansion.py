"""Turn a batch into messages with their jobs, one slice of recipients at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tortoise.expressions import F

from host.sdk import UnitOfWork, limit_value, unit_of_work

from ..models import Batch, BatchSlice, BatchStatus, Message, Status
from .batches import EXPAND, EXPANDING
from .composition import batch_message
from .drafts import due
from .messages import RATE, barred_of, hand_to_job, refund
from .timeline import Happened, note


async def expand_slice(batch_id: UUID) -> float | None:
    """Turn the next slice of a batch into messages with their jobs; returns the progress, 0..1, or None at the end.

    The slice is deleted in the same transaction, so that an interruption leaves all of it or nothing.
    """
    value, _ = await limit_value(RATE)
    pace = timedelta(seconds=(value.seconds or 0) / value.amount) if value.amount else timedelta(0)
    async with unit_of_work() as work:
        batch = await Batch.filter(id=batch_id).select_for_update().first()
        if batch is None or batch.status not in {BatchStatus.QUEUED, BatchStatus.RUNNING}:
            return None
        part = await BatchSlice.filter(batch_id=batch_id).order_by("number").first()
        if part is None:
            return None
        await _write(work, batch, part, pace)
        expanded = batch.expanded + len(part.recipients)
        await part.delete()
        await Batch.filter(id=batch_id).update(
            status=BatchStatus.RUNNING,
            expanded=expanded,
            version=F("version") + 1,
            updated_at=datetime.now(UTC),
        )
    return expanded / batch.total


async def _write(work: UnitOfWork, batch: Batch, part: BatchSlice, pace: timedelta) -> None:
    """Create the messages of one slice; recipients that may no longer be written to are refunded."""
    now = datetime.now(UTC)
    pairs = [(each["email"], batch.category) for each in part.recipients]
    barred = {email for email, _ in await barred_of(pairs, bulk=batch.bulk)}
    start = due(batch.send_at, batch.created_at)
    messages = []
    for number, recipient in enumerate(part.recipients, part.number):
        message = batch_message(batch, recipient, start + pace * number, now)
        if recipient["email"] in barred:
            message.status, message.due_at, message.charged = Status.SUPPRESSED, None, 0
        messages.append(message)
    await Message.bulk_create(messages)
    for message in messages:
        if message.due_at is not None:
            about = {"id": message.id, "bulk": True}
            await hand_to_job(work, about, message.due_at, paced=True)
    await refund(part.charged - sum(message.charged for message in messages), batch.created_at)
    suppressed = [message for message in messages if message.status is Status.SUPPRESSED]
    await note([Happened(each.id, "suppressed", now, recipient=each.recipients) for each in suppressed])


async def resume(silent_since: datetime) -> int:
    """Enqueue new jobs for batches whose own were lost; returns how many."""
    stuck = [each async for each in _unexpanded(updated_at__lt=silent_since)]
    async with unit_of_work() as work:
        for batch_id in stuck:
            await Batch.filter(id=batch_id).update(updated_at=datetime.now(UTC))
            await work.enqueue(EXPAND, priority=EXPANDING, batch_id=str(batch_id))
    return len(stuck)


async def _unexpanded(**where: Any) -> AsyncIterator[UUID]:
    open_ones = Batch.filter(status__in=[BatchStatus.QUEUED, BatchStatus.RUNNING], expanded__lt=F("total"), **where)
    for row in await open_ones.order_by("created_at").values("id"):
        yield row["id"]
