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

_REST = timedelta(seconds=15)  # before the next look at what was not even tried

Answer = GiveUp | Postpone | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt.

    status: sent, deferred (to be tried again), bounced, failed, suppressed or cancelled. reason: why, when not sent.
    subject: as rendered. barred: recipients left out since they may not be written to. receipt: the provider's. taken:
    recipients it took. refused: those it refused, each for a reason of its own. wait: how long the provider wants to be
    left alone. tried: whether it was asked at all. away: it was not reached, rather than refused. uncertain: it may
    have taken it.
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
    """Write outcomes down, in one unit of work; what each message's job is answered with."""
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


# -- the usual: taken by the provider, for everybody -----------------------------------------------------


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
        if sent < len(messages):  # the provider's word about some was quicker than we are
            await rows.exclude(status=Status.SENT).update(version=F("version") + 1, **facts)
        await Message.bulk_update(messages, fields=["provider_id", "subject"])


# -- everything else -------------------------------------------------------------------------------------


def _judged(outcome: Outcome, now: datetime) -> tuple[dict[str, Any], Answer]:
    """The columns that change, and the answer to the job."""
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
    if handed:  # for some of its recipients it left
        return values | over | {"status": Status.SENT}, None
    return values | over | {"status": status}, GiveUp(outcome.reason) if status is Status.FAILED else None


def _wait(outcome: Outcome, attempts: int) -> timedelta | None:
    """How long until it is tried again, at least as long as the provider asks; None: it was tried for long enough."""
    if not outcome.tried:
        return outcome.wait or _REST
    own = settings(Settings).backoff(away=outcome.away, uncertain=outcome.uncertain).wait(attempts)
    return None if own is None else max(own, outcome.wait or own)


async def _write_one(outcome: Outcome, values: dict[str, Any], now: datetime) -> None:
    message = outcome.message
    row, facts = Message.filter(id=message.id), values | {"updated_at": now, "version": F("version") + 1}
    if not await row.filter(status=Status.SENDING).update(**facts):  # the provider's word stands above ours
        del facts["status"]
        await row.update(**facts)
    await refund(message.charged - values.get("charged", message.charged), message.charged_at)
    for email, refused in outcome.refused.items():
        if is_dead(refused):
            await suppress(email, "bounce", str(refused), message.id)


def is_dead(refused: Refused) -> bool:
    """Whether a refusal says that there is nobody at the address, and never will be."""
    return refused.permanent and refused.kind == "address"


# -- what is told of it ----------------------------------------------------------------------------------


def _sent(outcome: Outcome, now: datetime) -> Happened:
    provider = outcome.receipt.provider if outcome.receipt is not None else ""
    return Happened(outcome.message.id, "sent", now, provider=provider)


def _happenings(outcome: Outcome, status: Status, now: datetime) -> Iterator[Happened]:
    """An attempt on the time line, with every recipient it was not for."""
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
    for each in happened:
        message_id, batch_id, at = each.message_id, batch_ids[each.message_id], each.at
        if each.kind == "sent":
            work.announce(MessageSent(message_id=message_id, batch_id=batch_id, provider=each.provider, at=at))
        elif each.kind == "failed":
            work.announce(MessageFailed(message_id=message_id, batch_id=batch_id, reason=each.detail, at=at))
        elif each.kind == "bounced":
            work.announce(MessageBounced(message_id=message_id, recipient=each.recipient, reason=each.detail, at=at))
