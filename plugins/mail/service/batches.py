"""Accept, cancel, finish and read batches: one content for up to 10,000 recipients."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from tortoise.expressions import F
from tortoise.functions import Count

from host.sdk import (
    Conflict,
    NotFound,
    Records,
    Row,
    ValidationFailed,
    actor,
    spend,
    tenant_settings,
    unit_of_work,
)

from ..addresses import Address, parse_address
from ..events import BatchFinished
from ..models import OPEN, WAITING, Batch, BatchSlice, BatchStatus, Message, Status
from ..settings import TenantSettings
from . import attachments
from .composition import batch_message, complaints, refused, row_complaints, template_of
from .drafts import BULK, Draft, columns_of, due
from .messages import QUOTA, barred_of, refund
from .templates import Prepared

MAX_BATCH = 10_000
SLICE = 500
"""Recipients checked, and messages written, at a time."""

EXPAND, EXPANDING = "mail.expand", BULK - 1
"""The task that turns a batch into messages, and its priority: before the messages themselves."""

CHECK_SECONDS = 40.0
"""Seconds that checking the recipients of a batch may take, well within a request's time-out."""

_MAX_COMPLAINTS = 50
_AT_ONCE = 100

BATCHES = Records(
    Batch,
    without=("bulk", "text", "html", "emptied"),
    filters={
        "status": "in",
        "category": "exact",
        "template": "exact",
        "created_from": "created_at:gte",
        "created_to": "created_at:lt",
    },
)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of a batch, with their variables for the template."""

    to: str
    variables: Mapping[str, Any]
    locale: str = ""


# -- accepting -------------------------------------------------------------------------------------------


async def accept(draft: Draft, recipients: Sequence[Recipient]) -> Row:
    """Accept a batch: every recipient is checked and charged now, and becomes a message soon.

    Recipients that are suppressed or unsubscribed are not charged.

    Raises:
        ValidationFailed: details name the invalid fields, such as `recipients.17.variables`.
        QuotaExceeded: the plan's monthly quota does not suffice for all.
        PayloadTooLarge: the attachments are larger than a message may carry.
    """
    columns = await columns_of(draft, many=True)
    checked = await _checked(recipients, Batch(**columns, total=0), draft.locale)
    columns["attachments"] = await attachments.gather(draft.attachments)
    for start in range(0, len(checked), SLICE):
        await _charge(checked[start : start + SLICE], columns)
    kept = timedelta(days=(await tenant_settings(TenantSettings)).keep_days)
    async with unit_of_work() as work:
        await spend(QUOTA, sum(each["charged"] for each in checked))
        await attachments.keep(columns["attachments"], due(draft.send_at) + kept + timedelta(days=7))
        row = await BATCHES.insert(**columns, total=len(checked), created_by=actor().user_id)
        slices = [
            BatchSlice(
                batch_id=row["id"],
                number=start,
                charged=sum(each["charged"] for each in part),
                recipients=part,
            )
            for start, part in _slices(checked)
        ]
        await BatchSlice.bulk_create(slices)
        await work.enqueue(EXPAND, priority=EXPANDING, batch_id=str(row["id"]))
        named = ("status", "category", "sender", "template", "send_at", "total")
        work.record("mail.batches.create", "batch", row["id"], after={name: row[name] for name in named})
    return {**row, **_progress(row, {})}


def _slices(checked: Sequence[Row]) -> Iterator[tuple[int, list[Row]]]:
    for start in range(0, len(checked), SLICE):
        yield start, list(checked[start : start + SLICE])


async def _checked(recipients: Sequence[Recipient], batch: Batch, locale: str) -> list[Row]:
    """The recipients in the form of slices, each address once; every message is rendered and checked.

    This runs in a thread, 100 recipients at a time, so that other requests go on: 10,000 take a few seconds.
    """
    locales = {each.locale or locale for each in recipients}
    versions = {each: batch.template_version if each == locale else None for each in locales}
    rows = _Rows(batch, {each: await template_of(batch.template, each, versions[each]) for each in locales})
    until = monotonic() + CHECK_SECONDS
    for start in range(0, len(recipients), _AT_ONCE):
        part = recipients[start : start + _AT_ONCE]
        await asyncio.to_thread(rows.check, start, part)
        if len(rows.wrong) >= _MAX_COMPLAINTS:
            break
        if monotonic() > until and start + len(part) < len(recipients):
            reason = f"Rendering this template for so many takes too long: send up to {start + len(part)} at a time."
            raise ValidationFailed(details={"recipients": reason})
    if rows.wrong:
        raise refused(dict(list(rows.wrong.items())[:_MAX_COMPLAINTS]), batch.template)
    return rows.checked


class _Rows:
    """The recipients of a batch that were checked, in the form of slices, and what is wrong with them.

    The first row in each language is checked as a whole message, all others in what varies between messages.
    """

    def __init__(self, batch: Batch, templates: Mapping[str, Prepared | None]) -> None:
        self.checked, self.wrong = list[Row](), dict[str, str]()
        self._batch, self._templates = batch, templates
        self._passed: set[str] = set()  # locales of which a whole message was found right
        self._addresses: set[str] = set()

    def check(self, start: int, recipients: Sequence[Recipient]) -> None:
        """Check some recipients; one whose address came before is left out. start: the position of the first."""
        for number, recipient in enumerate(recipients, start):
            try:
                address = parse_address(recipient.to)
            except ValueError as error:
                self.wrong[f"recipients.{number}.to"] = str(error)
                continue
            if address.key in self._addresses:
                continue
            self._addresses.add(address.key)
            problems = self._problems(address, recipient)
            self.wrong |= {f"recipients.{number}.{field}": reason for field, reason in problems.items()}

    def _problems(self, address: Address, recipient: Recipient) -> Mapping[str, str]:
        row = {"to": str(address), "email": address.email, "locale": recipient.locale, "charged": 1}
        row["variables"] = recipient.variables
        self.checked.append(row)
        batch, locale = self._batch, recipient.locale or self._batch.locale
        if locale in self._passed:
            return row_complaints(batch, self._templates[locale], address, recipient.variables)
        now = datetime.now(UTC)
        problems, _ = complaints(batch_message(batch, row, now, now), batch, self._templates[locale])
        if not problems:
            self._passed.add(locale)
        return problems


async def _charge(part: Sequence[Row], columns: Mapping[str, Any]) -> None:
    """Set `charged` of each recipient: 0 for those that may not be written to, else 1."""
    barred = await barred_of([(each["email"], columns["category"]) for each in part], bulk=columns["bulk"])
    emails = {email for email, _ in barred}
    for each in part:
        each["charged"] = int(each["email"] not in emails)


# -- cancelling and finishing ----------------------------------------------------------------------------


async def cancel(batch_id: UUID) -> Row:
    """Cancel the messages that are not sent yet, and refund them.

    Raises:
        NotFound: this tenant has no such batch.
        Conflict: it is done or cancelled.
    """
    async with unit_of_work() as work:
        batch = await Batch.filter(id=batch_id).select_for_update().first()
        if batch is None:
            raise NotFound
        if batch.status not in {BatchStatus.QUEUED, BatchStatus.RUNNING}:
            raise Conflict(f"The batch is {batch.status.value}: no message of it waits to be sent.")
        now = datetime.now(UTC)
        unwritten = sum(row["charged"] for row in await BatchSlice.filter(batch_id=batch_id).values("charged"))
        await BatchSlice.filter(batch_id=batch_id).delete()
        off = {"status": Status.CANCELLED, "due_at": None, "updated_at": now, "version": F("version") + 1}
        waiting = Message.filter(batch_id=batch_id, status__in=WAITING, due_at__isnull=False)
        stopped = await waiting.filter(charged=1).update(**off, charged=0)
        await waiting.filter(charged=0).update(**off)
        await refund(unwritten + stopped, batch.created_at)
        await Batch.filter(id=batch_id).update(
            status=BatchStatus.CANCELLED, finished_at=now, updated_at=now, version=F("version") + 1
        )
        before, after = {"status": batch.status}, {"status": BatchStatus.CANCELLED}
        work.record("mail.batches.cancel", "batch", batch_id, before=before, after=after)
    return await read(batch_id)


async def must_go_on(batch_id: UUID) -> None:
    """Check that a batch is neither done nor cancelled.

    Raises:
        NotFound: this tenant has no such batch.
        Conflict: it is done or cancelled.
    """
    status = (await BATCHES.get(batch_id))["status"]
    if status not in {BatchStatus.QUEUED, BatchStatus.RUNNING}:
        raise Conflict(f"The batch is {status}: no message of it waits to be sent.")


async def finish(batch_ids: Collection[UUID]) -> int:
    """Mark batches as done when no message of them waits any more, and announce it; returns how many.

    Called after the commit of what may have been the last message, so that of two such commits the later one sees both.
    """
    closed = 0
    for batch_id in batch_ids:
        if await Message.filter(batch_id=batch_id, status__in=OPEN, due_at__isnull=False).exists():
            continue
        async with unit_of_work() as work:
            now = datetime.now(UTC)
            batch = await Batch.filter(id=batch_id, status=BatchStatus.RUNNING, expanded=F("total")).first()
            running = Batch.filter(id=batch_id, status=BatchStatus.RUNNING, expanded=F("total"))
            done = {"status": BatchStatus.DONE, "finished_at": now, "updated_at": now, "version": F("version") + 1}
            if batch is not None and await running.update(**done):
                work.announce(BatchFinished(batch_id=batch_id, total=batch.total))
                closed += 1
    return closed


# -- reading ---------------------------------------------------------------------------------------------


async def read(batch_id: UUID) -> Row:
    """A batch with `counts` of its messages by status, and `progress`: the share that waits no more, 0..1.

    Raises:
        NotFound: this tenant has no such batch.
    """
    row = await BATCHES.get(batch_id)
    counted = Message.filter(batch_id=batch_id).annotate(count=Count("id")).group_by("status")
    return {**row, **_progress(row, dict(await counted.values_list("status", "count")))}


def _progress(row: Row, counts: Mapping[str, int]) -> Row:
    named = {str(status): count for status, count in counts.items()}
    waiting = sum(named.get(status.value, 0) for status in OPEN)
    if row["status"] in {BatchStatus.CANCELLED, BatchStatus.DONE}:
        return {"counts": named, "progress": 1.0}
    return {"counts": named, "progress": round((row["expanded"] - waiting) / row["total"], 4)}
