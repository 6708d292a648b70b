"""Deliver queued messages: apply the rate limit, render, hand to a provider, record the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from host.sdk import ApiError, NotFound, Postpone, RateLimited, allow, limit_value, unit_of_work

from ..models import OPEN, WAITING, Batch, BatchStatus, Message, Status
from ..outgoing import Outgoing
from ..providers.contract import ProviderUnavailable, Refused
from . import attachments, outcomes
from .composition import compose
from .dispatcher import Dispatcher, tenant_dispatcher
from .messages import RATE, barred_of
from .outcomes import Outcome, is_dead
from .templates import MissingVariables, Prepared, RenderFailed, prepared
from .tracking import switches

TOGETHER = 50
"""Messages delivered in one run of the task, at most."""

_WRITE_EVERY = 0.25  # seconds; what a killed worker has handed over and not recorded is sent twice
_WITH_FILES = 3  # messages whose attachments are in memory at the same time
_log = logging.getLogger("plugins.mail")


@dataclass(frozen=True, slots=True)
class Order:
    """The arguments of a `mail.deliver` job. paced: the rate limit is applied now, at delivery."""

    message: UUID
    paced: bool


@dataclass(frozen=True, slots=True)
class _Hand:
    """Messages taken for delivery, with their batches and the (address, category) pairs that must not be sent."""

    messages: Sequence[Message]
    batches: Mapping[UUID, Batch]
    barred: frozenset[tuple[str, str]]

    def batch_of(self, message: Message) -> Batch | None:
        return self.batches.get(message.batch_id) if message.batch_id is not None else None


_Key = tuple[str, str, int | None]
_Templates = Mapping[_Key, Prepared | Exception]


@dataclass(frozen=True, slots=True)
class _Desk:
    """What all messages of a run share. tracking: of opens, of clicks. files: limits attachments in memory."""

    dispatcher: Dispatcher
    templates: _Templates
    tracking: tuple[bool, bool]
    files: asyncio.Semaphore


async def deliver(orders: Sequence[Order]) -> list[Exception | None]:
    """Deliver messages of the bound tenant; returns the result of each job: None, Postpone or GiveUp.

    An order whose message no longer waits is done: None.
    """
    answers: dict[UUID, Exception | None] = await _beyond_rate(orders)
    hand = await _take([order for order in orders if order.message not in answers])
    if hand.messages:
        desk = _Desk(
            await tenant_dispatcher(), await _templates(hand), await switches(), asyncio.Semaphore(_WITH_FILES)
        )
        answers |= await _written([asyncio.create_task(_attempt(each, hand, desk)) for each in hand.messages])
    return [answers.get(order.message) for order in orders]


async def _beyond_rate(orders: Sequence[Order]) -> dict[UUID, Exception | None]:
    """Postpone the paced orders that exceed the plan's rate now, one after the other at that rate."""
    paced = [order for order in orders if order.paced]
    for number in range(len(paced)):
        try:
            await allow(RATE)
        except RateLimited as limited:
            value, _ = await limit_value(RATE)
            wait, apart = int(limited.headers["Retry-After"]), (value.seconds or 0) / (value.amount or 1)
            left = paced[number:]
            last = datetime.now(UTC) + timedelta(seconds=wait + len(left) * apart)
            mine = Message.filter(id__in=[each.message for each in left], status__in=WAITING, due_at__isnull=False)
            await mine.update(status=Status.SCHEDULED, due_at=last, updated_at=datetime.now(UTC))
            return {
                each.message: Postpone(timedelta(seconds=wait + place * apart), "the plan's rate is used up")
                for place, each in enumerate(left)
            }
    return {}


async def _take(orders: Sequence[Order]) -> _Hand:
    """Mark the messages as being sent: from here on they cannot be cancelled."""
    async with unit_of_work():
        messages: list[Message] = []
        mine = Message.filter(id__in=[order.message for order in orders], due_at__isnull=False)
        if orders and await mine.filter(status__in=OPEN).update(status=Status.SENDING, updated_at=datetime.now(UTC)):
            messages = await mine.filter(status=Status.SENDING)
        batch_ids = {each.batch_id for each in messages if each.batch_id is not None}
        batches = await Batch.filter(id__in=list(batch_ids)) if batch_ids else []
        barred: set[tuple[str, str]] = set()
        for bulk in (False, True):
            if pairs := [pair for each in messages if each.bulk is bulk for pair in _pairs(each)]:
                barred |= await barred_of(pairs, bulk=bulk)
    return _Hand(messages, {each.id: each for each in batches}, frozenset(barred))


async def _templates(hand: _Hand) -> _Templates:
    """Each template of the messages, loaded once, or the error why it cannot be used."""
    templates: dict[_Key, Prepared | Exception] = {}
    for message in hand.messages:
        key = _key(message, hand.batch_of(message))
        if key[0] and key not in templates:
            try:
                templates[key] = await prepared(key[0], locale=key[1], version=key[2])
            except (NotFound, RenderFailed) as error:
                templates[key] = error
    return templates


def _key(message: Message, batch: Batch | None) -> _Key:
    content = message if batch is None else batch
    return content.template, message.locale, message.template_version


def _pairs(message: Message) -> list[tuple[str, str]]:
    return [(email, message.category) for email in message.recipients.split("\n")]


async def _written(attempts: Sequence[asyncio.Task[Outcome]]) -> dict[UUID, Exception | None]:
    """Record the outcomes of the attempts a few times a second; when this is cancelled, cancel the attempts too."""
    answers: dict[UUID, Exception | None] = {}
    waiting = set(attempts)
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=_WRITE_EVERY)
            answers |= await outcomes.write([each.result() for each in done])
    except BaseException as error:
        for each in waiting:
            each.cancel()
        ended = await asyncio.gather(*attempts, return_exceptions=True)
        if isinstance(error, asyncio.CancelledError):
            unwritten = [each for each in ended if isinstance(each, Outcome) and each.message.id not in answers]
            await asyncio.shield(outcomes.write(unwritten))
        raise
    return answers


# -- one message -----------------------------------------------------------------------------------------


async def _attempt(message: Message, hand: _Hand, desk: _Desk) -> Outcome:
    """Compose one message and hand it over; raises only when it is cancelled."""
    batch = hand.batch_of(message)
    if batch is not None and batch.status is BatchStatus.CANCELLED:
        return Outcome(message, Status.CANCELLED)
    barred = tuple(email for email, category in _pairs(message) if (email, category) in hand.barred)
    outcome = Outcome(message, Status.SUPPRESSED, barred=barred)
    closed = {*barred, *message.handed}
    if closed.issuperset(message.recipients.split("\n")):
        return outcome
    try:
        outgoing = _ready(message, batch, closed, desk)
        outcome = replace(outcome, subject=outgoing.subject)
        named = (batch or message).attachments
        if not named:
            return await _handed(outgoing, desk.dispatcher, outcome)
        async with desk.files:
            carried = await attachments.contents(named)
            return await _handed(replace(outgoing, attachments=carried), desk.dispatcher, outcome)
    except (MissingVariables, RenderFailed, ValueError) as error:
        return replace(outcome, status=Status.FAILED, reason=str(error))
    except NotFound:
        return replace(outcome, status=Status.FAILED, reason="its template or one of its attachments was deleted")
    except ApiError as error:  # storage or Redis is unavailable: not counted as an attempt
        return replace(outcome, status=Status.DEFERRED, reason=error.message, tried=False)
    except Exception:
        _log.exception("message %s could not be handed over", message.id)
        reason = "something failed on our side; the message is tried again"
        return replace(outcome, status=Status.DEFERRED, reason=reason, uncertain=True)


async def _handed(outgoing: Outgoing, dispatcher: Dispatcher, outcome: Outcome) -> Outcome:
    try:
        receipt = await dispatcher.deliver(outgoing)
    except Refused as refused:
        refusals = refused.recipients or dict.fromkeys(outgoing.recipients if is_dead(refused) else (), refused)
        return replace(outcome, status=_refusal(refused), reason=str(refused), refused=refusals)
    except ProviderUnavailable as unavailable:
        deferred = replace(outcome, status=Status.DEFERRED, reason=unavailable.reason)
        return replace(
            deferred, wait=unavailable.wait, tried=unavailable.tried, away=True, uncertain=unavailable.uncertain
        )
    again = tuple(email for email, refused in receipt.refused.items() if not refused.permanent)
    return replace(
        outcome,
        status=Status.DEFERRED if again else Status.SENT,
        reason="; ".join(f"{email}: {receipt.refused[email]}" for email in again),
        receipt=receipt,
        taken=tuple(email for email in outgoing.recipients if email not in receipt.refused),
        refused=receipt.refused,
    )


def _refusal(refused: Refused) -> Status:
    if not refused.permanent:
        return Status.DEFERRED
    return Status.BOUNCED if is_dead(refused) else Status.FAILED


def _ready(message: Message, batch: Batch | None, closed: set[str], desk: _Desk) -> Outgoing:
    template = desk.templates.get(_key(message, batch))
    if isinstance(template, Exception):
        raise template
    return compose(message, message if batch is None else batch, template, closed=closed, tracking=desk.tracking)
