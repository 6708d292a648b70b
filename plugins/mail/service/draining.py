"""Draining: what is due is delivered here and now, by a command, beside any workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tortoise.expressions import F
from tortoise.functions import Count

from host.sdk import Postpone, unit_of_work

from ..models import OPEN, WAITING, Message
from . import delivery, expansion
from .delivery import TOGETHER, Order
from .messages import hand_to_job


async def waiting() -> dict[str, int]:
    """How many messages of the bound tenant wait to be sent, by status."""
    counted = Message.filter(status__in=OPEN, due_at__isnull=False).annotate(count=Count("id")).group_by("status")
    return {str(status): count for status, count in sorted(await counted.values_list("status", "count"))}


async def drain() -> dict[str, int]:
    """Deliver what is due; how many messages are in which status now.

    Each is taken over from its job by a turn of its own; what has to be tried again gets a new job.
    """
    await expansion.expand_all()
    began, counts = datetime.now(UTC), Counter[str]()
    while orders := await _take_over(began):
        answers = await delivery.deliver(orders)
        again = {
            order.message: (order, answer.wait)
            for order, answer in zip(orders, answers, strict=True)
            if isinstance(answer, Postpone)
        }
        await _give_jobs(list(again.values()))
        ids = [order.message for order in orders]
        counts.update(str(status) for status in await Message.filter(id__in=ids).values_list("status", flat=True))
    return dict(sorted(counts.items()))


async def _take_over(until: datetime) -> list[Order]:
    async with unit_of_work():
        due = Message.filter(status__in=WAITING, due_at__lte=until).order_by("bulk", "due_at")
        messages = await due.limit(TOGETHER).select_for_update(skip_locked=True)
        await Message.filter(id__in=[each.id for each in messages]).update(turn=F("turn") + 1)
    return [Order(each.id, each.turn + 1, each.when_limited == "wait") for each in messages]


async def _give_jobs(again: Sequence[tuple[Order, timedelta]]) -> None:
    async with unit_of_work() as work:
        for order, wait in again:
            message = await Message.get(id=order.message)
            about = {"id": message.id, "bulk": message.bulk or message.batch_id is not None}
            await hand_to_job(work, about, datetime.now(UTC) + wait, turn=order.turn, paced=order.paced)
