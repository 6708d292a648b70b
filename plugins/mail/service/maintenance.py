"""Requeue lost messages and batches, and remove content and files after their retention time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tortoise.expressions import F, Q

from host.sdk import tenant_settings, unit_of_work

from ..events import MessageFailed
from ..models import FINAL, OPEN, Batch, BatchStatus, Happening, Message, Status
from ..settings import TenantSettings
from . import attachments, batches, expansion
from .messages import hand_to_job, refund
from .timeline import Happened, note

LEFT_BEHIND = timedelta(hours=1)
"""How long a message is overdue without change before its job counts as lost."""

_TAKEN_UP = "taken_up"
_OFTEN = 3  # times that a message is requeued after its worker died
_SLICE = 500


async def requeue() -> None:
    """Requeue what was lost; safe to run twice."""
    while await take_up() == _SLICE:
        pass
    await expansion.resume(datetime.now(UTC) - LEFT_BEHIND)
    await finish_batches()


async def clean_up() -> None:
    """Remove what is kept no longer; safe to run twice."""
    while await empty() == _SLICE:
        pass
    while await attachments.sweep(_SLICE) == _SLICE:
        pass


async def take_up() -> int:
    """Enqueue a new job, which replaces any older one, for lost messages; returns how many."""
    now = datetime.now(UTC)
    silent = now - LEFT_BEHIND
    async with unit_of_work() as work:
        overdue = Message.filter(status__in=OPEN, due_at__lt=silent, updated_at__lt=silent)
        messages = await overdue.limit(_SLICE).select_for_update(skip_locked=True)
        often = await _often([each for each in messages if each.status is Status.SENDING])
        for message in messages:
            row, facts = Message.filter(id=message.id), {"updated_at": now, "version": F("version") + 1}
            if message.id in often:
                reason = f"its worker ended before it did, {_OFTEN} times"
                await row.update(status=Status.FAILED, error=reason, due_at=None, charged=0, **facts)
                await refund(message.charged, message.charged_at)
                await note([Happened(message.id, "failed", now, detail=reason)])
                work.announce(MessageFailed(message_id=message.id, batch_id=message.batch_id, reason=reason, at=now))
                continue
            await row.update(status=Status.QUEUED, **facts)
            if message.status is Status.SENDING:
                await note([Happened(message.id, _TAKEN_UP, now)])
            paced = message.when_limited == "wait"
            due_at = message.due_at or now
            about = {"id": message.id, "bulk": message.bulk or message.batch_id is not None}
            await hand_to_job(work, about, due_at, paced=paced, again=True)
    return len(messages)


async def _often(messages: Sequence[Message]) -> set[UUID]:
    taken_up = Happening.filter(message_id__in=[each.id for each in messages], kind=_TAKEN_UP)
    counts = Counter(row["message_id"] for row in await taken_up.values("message_id"))
    return {message_id for message_id, count in counts.items() if count >= _OFTEN}


async def finish_batches() -> int:
    """Mark batches as done that `batches.finish` missed; returns how many."""
    running = Batch.filter(status=BatchStatus.RUNNING, expanded=F("total")).limit(_SLICE)
    return await batches.finish([row["id"] for row in await running.values("id")])


async def empty() -> int:
    """Remove the content of finished messages and batches older than `keep_days`; returns how many rows."""
    kept = timedelta(days=(await tenant_settings(TenantSettings)).keep_days)
    old = Q(emptied=False, updated_at__lt=datetime.now(UTC) - kept)
    nothing = {"text": "", "html": "", "attachments": [], "emptied": True}
    over = (BatchStatus.DONE, BatchStatus.CANCELLED)
    ids = [row["id"] for row in await Batch.filter(old, status__in=over).limit(_SLICE).values("id")]
    await Batch.filter(id__in=ids).update(**nothing)
    final = Message.filter(old, Q(status__in=FINAL) | Q(due_at__isnull=True))
    ids = [row["id"] for row in await final.limit(_SLICE).values("id")]
    await Message.filter(id__in=ids).update(variables={}, **nothing)
    return len(ids)
