"""Background tasks of the mail plugin: deliver messages, expand batches, clean up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from host.sdk import Task, report_progress

from .providers.channel import LONGEST
from .providers.circuit import LONGEST_QUEUE
from .providers.dispatcher import tenant_channel
from .service import batches, delivery, expansion, maintenance, messages, senders
from .service.delivery import Order


async def deliver(items: Sequence[Mapping[str, Any]]) -> Sequence[Exception | None]:
    """Deliver up to 50 messages; each item: {message: id, paced}."""
    return await delivery.deliver([Order(UUID(item["message"]), bool(item["paced"])) for item in items])


async def retry_message(arguments: Mapping[str, Any]) -> None:
    """Running its job again is sending the message after all, in its place in the plan's rate."""
    await messages.retry(UUID(arguments["message"]), "wait")


async def cancel_message(arguments: Mapping[str, Any]) -> None:
    """Calling its job off is calling the message off."""
    await messages.cancel_job(UUID(arguments["message"]))


async def expand(batch_id: UUID) -> None:
    """Turn a batch into messages, slice by slice."""
    while (progress := await expansion.expand_slice(batch_id)) is not None:
        await report_progress(progress)
    await batches.finish([batch_id])


async def resume_batch(arguments: Mapping[str, Any]) -> None:
    """A batch goes on where it was left, unless it was called off."""
    await batches.must_go_on(UUID(arguments["batch_id"]))


async def cancel_batch(arguments: Mapping[str, Any]) -> None:
    """Calling its job off is calling the batch off."""
    await batches.cancel(UUID(arguments["batch_id"]))


async def maintain() -> None:
    """Look after what nobody else looks after any more."""
    await maintenance.maintain()


TASKS = (
    Task(
        name="deliver",
        run=deliver,
        summary="Deliver messages",
        timeout=5 * (LONGEST + LONGEST_QUEUE) + 60,  # five providers may be asked, one after the other
        tries=100,  # a message counts its own tries: only one that kills its workers comes to an end here
        batch_size=delivery.TOGETHER,
        channel=tenant_channel,
        on_retry=retry_message,
        on_cancel=cancel_message,
    ),
    Task(
        name="expand",
        run=expand,
        summary="Turn a batch into messages",
        timeout=1800.0,
        tries=20,
        on_retry=resume_batch,
        on_cancel=cancel_batch,
    ),
    Task(
        name="mail_sender_code",
        run=senders.mail_code,
        summary="Mail the code that confirms a sender",
        timeout=120.0,
        tries=5,
    ),
    Task(
        name="tend",
        run=maintain,
        summary="Take up messages left behind, remove old content and unused files",
        timeout=600.0,
        every=timedelta(minutes=5),
    ),
)
