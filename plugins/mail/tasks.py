"""Background tasks of the mail plugin: deliver messages, expand batches, clean up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from host.sdk import Task, report_progress

from .providers.channel import LONGEST
from .providers.circuit import LONGEST_QUEUE
from .service import batches, delivery, expansion, maintenance, messages, senders
from .service.delivery import Order
from .service.dispatcher import tenant_channel


async def deliver(items: Sequence[Mapping[str, Any]]) -> Sequence[Exception | None]:
    """Deliver up to 50 messages; each item: {message: id, paced}."""
    return await delivery.deliver([Order(UUID(item["message"]), bool(item["paced"])) for item in items])


async def retry_message(arguments: Mapping[str, Any]) -> None:
    """Send the message again when its job is run again, within the plan's rate."""
    await messages.retry(UUID(arguments["message"]), "wait")


async def cancel_message(arguments: Mapping[str, Any]) -> None:
    """Cancel the message when its job is cancelled."""
    await messages.cancel_job(UUID(arguments["message"]))


async def expand(batch_id: UUID) -> None:
    """Turn a batch into messages, slice by slice."""
    while (progress := await expansion.expand_slice(batch_id)) is not None:
        await report_progress(progress)
    await batches.finish([batch_id])


async def resume_batch(arguments: Mapping[str, Any]) -> None:
    """Let a batch go on where it stopped, unless it is done or cancelled."""
    await batches.must_go_on(UUID(arguments["batch_id"]))


async def cancel_batch(arguments: Mapping[str, Any]) -> None:
    """Cancel the batch when its job is cancelled."""
    await batches.cancel(UUID(arguments["batch_id"]))


async def requeue() -> None:
    """Requeue lost messages and batches."""
    await maintenance.requeue()


async def clean_up() -> None:
    """Remove the content of old messages, and files that no message needs."""
    await maintenance.clean_up()


TASKS = (
    Task(
        name="deliver",
        run=deliver,
        summary="Deliver messages",
        timeout=5 * (LONGEST + LONGEST_QUEUE) + 60,  # up to five providers are asked, one after the other
        tries=100,  # a message counts its own tries; this limit only stops one that kills its workers
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
        name="requeue",
        run=requeue,
        summary="Requeue lost messages and batches",
        timeout=600.0,
        every=timedelta(minutes=5),
    ),
    Task(
        name="clean_up",
        run=clean_up,
        summary="Remove the content of old messages, and unused files",
        timeout=600.0,
        every=timedelta(hours=1),
        any_tenant_state=True,  # people were promised that what they wrote or got is kept no longer
    ),
)
