"""Record the outcomes of delivery attempts: statuses, refunds, suppressions, events, job answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tortoise.expressions import F

from host.sdk import GiveUp, Postpone, UnitOfWork, settings, unit_of_work

from ..events import MessageBounced, MessageFailed, MessageSent
from ..models import Message, Status
from ..providers.contract import Receipt, Refused
from ..settings import Settings
from . import batches
from .messages import refund
from .suppressions import suppress
from .timeline import Happened, note

_REST = timedelta(seconds=15)  # before the next try when no provider was asked

Answer = GiveUp | Postpone | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one delivery attempt.

    status: sent, deferred (to be tried again), bounced, failed, suppressed or cancelled. reason: why, when not sent.
    subject: as rendered. barred: recipients left out since they may not be written to. receipt: the provider's. taken:
    recipients it took. refused: recipients it refused, with the reason of each. wait: how long the provider asks not to
    be called. tried: whether it was called at all. away: it was not reached, rather than refused the message.
    uncertain: it may have taken the message.
    """

    message: Message
    status: Status
    reason: str = ""
    subject: str = ""
    barred: tuple[str, ...] = ()
    receipt: Receipt | None = None
    taken: tuple[str, ...] = ()
    refused: Mapping[str, Refused] = field(default_factory=dict)
    wait: timedelta | None = None
    tried: bool = True
    away: bool = False
    uncertain: bool = False


async def write(outcomes: Sequence[Outcome]) -> dict[UUID, Exception | None]:
    """Record outcomes in one unit of work; returns the result of each message's job."""
    if not outcomes:
        return {}
    now = datetime.now(UTC)
    answers: dict[UUID, Exception | None] = {}
    plain = [each for each in outcomes if _is_plain(each)]
    async with unit_of_work() as work:
        await _write_plain(plain, now)
        happened = [_sent(each, now) for each in plain]
        for outcome in (each for each in outcomes if not _is_plain(each)):
            values, answers[outcome.message.id] = _judged(outcome, now)
            await _write_one(outcome, values, now)
            happened += _happenings(outcome, values["status"], now)
        await note(happened)
        _announce(work, happened, {each.message.id: each.message.batch_id for each in outcomes})
    await batches.finish(
        {
            each.message.batch_id
            for each in outcomes
            if each.message.batch_id is not None and not isinstance(answers.get(each.message.id), Postpone)
        }
    )
    return answers


# -- the usual case: taken for all recipients ------------------------------------------------------------


def _is_plain(outcome: Outcome) -> bool:
    return outcome.receipt is not None and not (outcome.refused or outcome.barred or outcome.message.handed)


async def _write_plain(outcomes: Sequence[Outcome], now: datetime) -> None:
    by_provider = defaultdict(list)
    for outcome in outcomes:
        message, receipt = outcome.message, outcome.receipt
        if receipt is not None:
            message.provider_id, message.subject = receipt.provider_id[:255], outcome.subject[:998]
            by_provider[receipt.provider].append(message)
    for provider, messages in by_provider.items():
        facts = {"provider": provider, "sent_at": now, "due_at": None, "error": "", "updated_at": now}
        rows = Message.filter(id__in=[each.id for each in messages])
        sent = await rows.filter(status=Status.SENDING).update(status=Status.SENT, version=F("version") + 1, **facts)
        if sent < len(messages):  # webhooks about some of them came first
            await rows.exclude(status=Status.SENT).update(version=F("version") + 1, **facts)
        await Message.bulk_update(messages, fields=["provider_id", "subject"])


# -- everything else -------------------------------------------------------------------------------------


def _judged(outcome: Outcome, now: datetime) -> tuple[dict[str, Any], Answer]:
    """The columns that change, and the result of the job."""
    message = outcome.message
    handed = [*message.handed, *outcome.taken]
    attempts = message.attempts + (outcome.status is Status.DEFERRED and outcome.tried)
    values: dict[str, Any] = {"handed": handed, "attempts": attempts, "error": outcome.reason[:4000]}
    if outcome.receipt is not None:
        receipt = outcome.receipt
        values |= {"provider": receipt.provider, "provider_id": receipt.provider_id[:255], "sent_at": now}
    if outcome.subject:
        values["subject"] = outcome.subject[:998]
    if outcome.status is Status.DEFERRED and (wait := _wait(outcome, attempts)) is not None:
        status = Status.DEFERRED if outcome.tried else Status.QUEUED
        return values | {"status": status, "due_at": now + wait}, Postpone(wait, outcome.reason)
    status = Status.FAILED if outcome.status is Status.DEFERRED else outcome.status
    over = {"due_at": None, "charged": min(message.charged, len(handed))}
    if handed:  # sent to some of its recipients
        return values | over | {"status": Status.SENT}, None
    return values | over | {"status": status}, GiveUp(outcome.reason) if status is Status.FAILED else None


def _wait(outcome: Outcome, attempts: int) -> timedelta | None:
    """How long until the next try, at least as long as the provider asks; None: no more tries."""
    if not outcome.tried:
        return outcome.wait or _REST
    own = settings(Settings).backoff(away=outcome.away, uncertain=outcome.uncertain).wait(attempts)
    return None if own is None else max(own, outcome.wait or own)


async def _write_one(outcome: Outcome, values: dict[str, Any], now: datetime) -> None:
    message = outcome.message
    row, facts = Message.filter(id=message.id), values | {"updated_at": now, "version": F("version") + 1}
    if not await row.filter(status=Status.SENDING).update(**facts):  # a webhook already set the status
        del facts["status"]
        await row.update(**facts)
    await refund(message.charged - values.get("charged", message.charged), message.charged_at)
    for email, refused in outcome.refused.items():
        if is_dead(refused):
            await suppress(email, "bounce", str(refused), message.id)


def is_dead(refused: Refused) -> bool:
    """Whether a refusal says that the address does not exist."""
    return refused.permanent and refused.kind == "address"


# -- events ----------------------------------------------------------------------------------------------


def _sent(outcome: Outcome, now: datetime) -> Happened:
    provider = outcome.receipt.provider if outcome.receipt is not None else ""
    return Happened(outcome.message.id, "sent", now, provider=provider)


def _happenings(outcome: Outcome, status: Status, now: datetime) -> Iterator[Happened]:
    """The events of an attempt, with one for each recipient left out or refused."""
    message_id = outcome.message.id
    if status in {Status.SENT, Status.SUPPRESSED}:
        for email in outcome.barred:
            yield Happened(message_id, "suppressed", now, recipient=email)
    alone = "\n" not in outcome.message.recipients  # then "deferred" or "failed" says it
    for email, refused in outcome.refused.items():
        if is_dead(refused) or not alone:
            kind = "bounced" if is_dead(refused) else "refused"
            yield Happened(message_id, kind, now, recipient=email, detail=str(refused))
    if outcome.receipt is not None:
        yield _sent(outcome, now)
    elif status in {Status.DEFERRED, Status.FAILED, Status.CANCELLED}:
        yield Happened(message_id, status.value, now, detail=outcome.reason)


def _announce(work: UnitOfWork, happened: Sequence[Happened], batch_ids: dict[UUID, UUID | None]) -> None:
    for event in happened:
        message_id, batch_id, at = event.message_id, batch_ids[event.message_id], event.at
        if event.kind == "sent":
            work.announce(MessageSent(message_id=message_id, batch_id=batch_id, provider=event.provider, at=at))
        elif event.kind == "failed":
            work.announce(MessageFailed(message_id=message_id, batch_id=batch_id, reason=event.detail, at=at))
        elif event.kind == "bounced":
            work.announce(MessageBounced(message_id=message_id, recipient=event.recipient, reason=event.detail, at=at))
