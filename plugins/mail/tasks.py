"""Background work: delivers messages, writes batches out into messages, tends what was left behind or is old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from host.sdk import Task, report_progress

from .service import batches, delivery, expansion, senders, tending
from .service.delivery import Order


async def deliver(items: Sequence[Mapping[str, Any]]) -> Sequence[Exception | None]:
    """Deliver up to 50 messages; each item: {message: id, turn, paced}."""
    return await delivery.deliver(
        [Order(UUID(item["message"]), int(item["turn"]), bool(item["paced"])) for item in items]
    )


async def expand(batch_id: UUID) -> None:
    """Turn a batch into messages, slice by slice."""
    while (progress := await expansion.expand_slice(batch_id)) is not None:
        await report_progress(progress)
    await batches.finish([batch_id])


async def tend() -> None:
    """Look after what nobody else looks after any more."""
    await tending.tend()


TASKS = (
    Task(
        name="deliver",
        run=deliver,
        summary="Deliver messages",
        timeout=delivery.LONGEST + 60,
        tries=100,  # a message counts its own tries: only one that kills its workers comes to an end here
        together=delivery.TOGETHER,
    ),
    Task(name="expand", run=expand, summary="Turn a batch into messages", timeout=1800.0, tries=20),
    Task(
        name="mail_sender_code",
        run=senders.mail_code,
        summary="Mail the code that confirms a sender",
        timeout=120.0,
        tries=5,
    ),
    Task(
        name="tend",
        run=tend,
        summary="Take up messages left behind, remove old content and unused files",
        timeout=600.0,
        every=timedelta(minutes=5),
    ),
)
