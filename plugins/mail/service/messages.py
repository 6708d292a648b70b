"""Accept, cancel, retry and read single messages within the limits of the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from tortoise.expressions import F
from uuid_utils.compat import uuid7

from host.sdk import (
    Conflict,
    Limit,
    NotFound,
    RateLimited,
    Records,
    Row,
    UnitOfWork,
    ValidationFailed,
    actor,
    allow,
    give_back,
    spend,
    tenant_settings,
    unit_of_work,
)

from ..addresses import Address
from ..models import OPEN, WAITING, Batch, BatchStatus, Message, Status
from ..settings import TenantSettings
from . import attachments
from .composition import complaints, message_id_of, refused, template_of
from .drafts import BULK, MAX_RECIPIENTS, TRANSACTIONAL, Draft, addresses_of, columns_of, due
from .subscriptions import unsubscribed
from .suppressions import suppressed
from .timeline import Happened, note, timeline

QUOTA, RATE = "mail.monthly", "mail.rate"
LIMITS = (
    Limit(QUOTA, "quota", "Recipients of messages", unit="recipients", default="unlimited"),
    Limit(RATE, "rate", "Messages sent", unit="messages", default="unlimited"),
)
DELIVER = "mail.deliver"
RETRIABLE = (Status.FAILED, Status.CANCELLED, Status.SUPPRESSED)

WhenLimited = Literal["refuse", "wait"]

_CONTENT, _INNER = ("text", "html", "variables"), ("recipients", "handed", "charged", "charged_at")
_FILTERS = {
    "status": "in",
    "to": "recipients:contains",
    "from": "sender:contains",
    "q": "subject:contains",
    "category": "exact",
    "template": "exact",
    "batch_id": "exact",
    "message_id": "exact",
    "created_from": "created_at:gte",
    "created_to": "created_at:lt",
}

MESSAGES = Records(Message, without=(*_CONTENT, *_INNER), filters=_FILTERS)
"""Messages as lists show them: without their content."""

WHOLE = Records(Message, without=_INNER)


# -- accepting -------------------------------------------------------------------------------------------


async def accept(
    draft: Draft,
    *,
    to: Sequence[str] = (),
    cc: Sequence[str] = (),
    bcc: Sequence[str] = (),
    variables: Mapping[str, Any] | None = None,
    when_limited: WhenLimited = "refuse",
    message_id: UUID | None = None,
) -> Row:
    """Accept a message for delivery: it ends as sent, or as failed with its reason.

    Recipients that are suppressed or unsubscribed are not charged. when_limited: what to do beyond the rate limit.
    message_id: of the new row; None: a new one.

    Raises:
        ValidationFailed: an address, the sender, the template or its variables are invalid.
        RateLimited: the plan's rate is used up, and `when_limited` is "refuse".
        QuotaExceeded: the plan's monthly quota is used up.
        PayloadTooLarge: the attachments are larger than allowed.
    """
    recipients = _recipients(to, cc, bcc)
    columns = await columns_of(draft)
    if columns["bulk"] and sum(map(len, recipients.values())) != 1:
        raise ValidationFailed(
            details={"to": f"{columns['category']!r} may be unsubscribed from: one recipient each, or a batch."}
        )
    values = columns | {name: [str(each) for each in found] for name, found in recipients.items()}
    values |= {"variables": dict(variables or {}), "when_limited": when_limited}
    values["id"] = number = message_id or uuid7()
    values["recipients"] = "\n".join(each.email for found in recipients.values() for each in found)
    values["message_id"] = message_id_of(number, values["sender"])
    values["subject"] = await _subject(Message(**values))
    earliest = await _within_rate(when_limited)
    values["attachments"] = await attachments.gather(draft.attachments)
    return await _store(values, due(draft.send_at, earliest), earliest)


async def _subject(message: Message) -> str:
    """The subject as it will be sent.

    Raises:
        ValidationFailed: the message could not be sent; details name the fields.
    """
    template = await template_of(message.template, message.locale, message.template_version)
    wrong, subject = complaints(message, message, template)
    if wrong:
        raise refused(wrong, message.template)
    return subject[:998]


def _recipients(to: Sequence[str], cc: Sequence[str], bcc: Sequence[str]) -> dict[str, list[Address]]:
    """The recipients by field, each address once: where it is named first."""
    count = len(to) + len(cc) + len(bcc)
    if not 0 < count <= MAX_RECIPIENTS:
        raise ValidationFailed(details={"to": f"A message has 1 to {MAX_RECIPIENTS} recipients in to, cc and bcc."})
    seen: set[str] = set()
    found: dict[str, list[Address]] = {}
    for field, texts in (("to", to), ("cc", cc), ("bcc", bcc)):
        addresses = addresses_of(texts, field)
        found[field] = [each for each in addresses if not (each.key in seen or seen.add(each.key))]  # type: ignore[func-returns-value]
    return found


async def _within_rate(when_limited: WhenLimited) -> datetime | None:
    """None when the rate limit allows the message now, else the earliest time to try."""
    try:
        await allow(RATE)
    except RateLimited as limited:
        if when_limited == "refuse":
            raise
        return datetime.now(UTC) + timedelta(seconds=int(limited.headers["Retry-After"]))
    return None


async def _store(values: Mapping[str, Any], due_at: datetime, paced: object) -> Row:
    message_id, now, emails = values["id"], datetime.now(UTC), values["recipients"].split("\n")
    async with unit_of_work() as work:
        barred = await barred_of([(email, values["category"]) for email in emails], bulk=values["bulk"])
        cost = len(emails) - len(barred)
        await spend(QUOTA, cost)
        await attachments.keep(values["attachments"], due_at + await _kept())
        row = await WHOLE.insert(
            **values,
            status=_waiting(due_at, now) if cost else Status.SUPPRESSED,
            charged=cost,
            charged_at=now if cost else None,
            due_at=due_at if cost else None,
            created_by=actor().user_id,
        )
        if cost:
            await hand_to_job(work, row, due_at, paced=paced is not None)
        else:
            await note([Happened(message_id, "suppressed", now, recipient=email) for email in emails])
        work.record("mail.messages.create", "message", message_id, after=_recorded(row))
    return row


async def barred_of(pairs: Sequence[tuple[str, str]], *, bulk: bool) -> set[tuple[str, str]]:
    """The (address, category) pairs that must not be sent: suppressed, or for bulk mail unsubscribed."""
    addresses = await suppressed([address for address, _ in pairs])
    barred = {pair for pair in pairs if pair[0] in addresses}
    return barred | await unsubscribed(pairs) if bulk else barred


async def hand_to_job(
    work: UnitOfWork, row: Mapping[str, Any], due_at: datetime, *, paced: bool, again: bool = False
) -> None:
    """Enqueue the delivery job, with the message's id. paced: apply the rate limit then. again: replace the job."""
    await work.enqueue(
        DELIVER,
        run_at=due_at,
        priority=BULK if row["bulk"] else TRANSACTIONAL,
        job_id=row["id"],
        replace=again,
        message=str(row["id"]),
        paced=paced,
    )


# -- cancelling and retrying -----------------------------------------------------------------------------


async def cancel(message_id: UUID) -> Row:
    """Cancel a message that is not being sent yet, and refund it.

    Raises:
        NotFound: this tenant has no such message.
        Conflict: it is being sent, or no longer waits.
    """
    async with unit_of_work() as work:
        before = await Message.filter(id=message_id).select_for_update().first()
        if before is None:
            raise NotFound
        if before.status not in WAITING or before.due_at is None:
            raise Conflict(f"The message is {before.status.value}: only waiting messages can be cancelled.")
        now = datetime.now(UTC)
        await Message.filter(id=message_id).update(
            status=Status.CANCELLED, due_at=None, charged=0, updated_at=now, version=F("version") + 1
        )
        await refund(before.charged, before.charged_at)
        await note([Happened(message_id, "cancelled", now)])
        change = {"before": {"status": before.status}, "after": {"status": Status.CANCELLED}}
        work.record("mail.messages.cancel", "message", message_id, **change)
        return await WHOLE.get(message_id)


async def cancel_job(message_id: UUID) -> None:
    """Cancel the message of a cancelled job, if it still waits.

    Raises:
        Conflict: it is being sent.
    """
    if await Message.filter(id=message_id, status__in=OPEN, due_at__isnull=False).exists():
        await cancel(message_id)


async def retry(message_id: UUID, when_limited: WhenLimited = "refuse") -> Row:
    """Send a failed, cancelled or suppressed message after all, with all its attempts; it is charged again.

    Bounced messages and those with complaints stay so: send a new one once the address is off the suppression list.

    Raises:
        NotFound: this tenant has no such message.
        Conflict: it has another status, its content was removed, or no recipient may be written to.
        RateLimited, QuotaExceeded: the plan does not allow it now.
    """
    await WHOLE.get(message_id)
    if when_limited == "refuse":
        await allow(RATE)
    async with unit_of_work() as work:
        before = await Message.filter(id=message_id).select_for_update().first()
        if before is None:
            raise NotFound
        if before.status not in RETRIABLE:
            raise Conflict(
                f"The message is {before.status.value}: only failed, cancelled or suppressed messages can be retried."
            )
        if (
            before.batch_id is not None
            and await Batch.filter(id=before.batch_id, status=BatchStatus.CANCELLED).exists()
        ):
            raise Conflict("The message's batch was cancelled: write a new message.")
        if before.emptied:
            raise Conflict("The message's content was removed after the time it is kept: write a new one.")
        emails = [email for email in before.recipients.split("\n") if email not in before.handed]
        barred = await barred_of([(email, before.category) for email in emails], bulk=before.bulk)
        if not (cost := len(emails) - len(barred)):
            raise Conflict("Nobody this message is for may be written to: they are suppressed or have unsubscribed.")
        await spend(QUOTA, cost)
        now = datetime.now(UTC)
        fresh = {"status": Status.QUEUED, "attempts": 0, "error": "", "due_at": now, "updated_at": now}
        charge = {"charged": cost, "charged_at": now, "version": F("version") + 1}
        await Message.filter(id=message_id).update(**fresh, **charge)
        await attachments.keep(before.attachments, now + await _kept())
        await hand_to_job(work, {"id": message_id, "bulk": before.bulk}, now, paced=when_limited == "wait", again=True)
        await note([Happened(message_id, "retried", now)])
        change = {"before": {"status": before.status}, "after": {"status": Status.QUEUED}}
        work.record("mail.messages.retry", "message", message_id, **change)
        return await WHOLE.get(message_id)


async def refund(charged: int, charged_at: datetime | None) -> None:
    """Refund recipients to the quota, in the period that they were charged in."""
    if charged:
        await give_back(QUOTA, charged, spent_at=charged_at)


# -- reading ---------------------------------------------------------------------------------------------


async def read(message_id: UUID) -> Row:
    """A message with its content and its events as `timeline`.

    Raises:
        NotFound: this tenant has no such message.
    """
    row = await WHOLE.get(message_id)
    return {**row, "timeline": await timeline(row)}


async def _kept() -> timedelta:
    return timedelta(days=(await tenant_settings(TenantSettings)).keep_days)


def _waiting(due_at: datetime, now: datetime) -> Status:
    return Status.SCHEDULED if due_at > now + timedelta(seconds=1) else Status.QUEUED


def _recorded(row: Row) -> Row:
    """The columns for the audit trail: without content, variables and the subject, which may show variables."""
    named = ("status", "category", "sender", "to", "cc", "bcc", "template", "send_at", "message_id")
    return {name: row[name] for name in named}
