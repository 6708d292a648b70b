"""Record the events of messages and update their statuses."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tortoise.expressions import F

from host.sdk import Event, Metric, Row, count, unit_of_work

from ..events import MessageBounced, MessageComplained, MessageDelivered
from ..models import Happening, Message, Status

_RANKS = {
    # Providers report out of order, even about messages given up here: a report only ever raises the status.
    **dict.fromkeys((Status.QUEUED, Status.SCHEDULED, Status.SENDING, Status.FAILED), 0),
    Status.SENT: 1,
    Status.DEFERRED: 2,
    Status.DELIVERED: 3,
    Status.BOUNCED: 4,
    Status.COMPLAINED: 5,
}
_BELOW = {
    status: [lower for lower, rank in _RANKS.items() if rank < _RANKS[status]]
    for status in (Status.DEFERRED, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED)
}
MESSAGES_TOTAL = Metric("tenantry_mail_messages_total", "counter", "Messages by status", labels=("status",))
FEEDBACK = "feedback"
"""The purpose of the signed token in each message that the provider's webhooks return."""

COUNTED = {"opened": "opens", "clicked": "clicks"}
"""Kinds of events that are counted, with the column of the message."""

_LONGEST_DETAIL = 2000


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a message.

    kind: sent, deferred, delivered, bounced, answered (automatically), complained, failed, cancelled, retried, refused,
    suppressed, opened, clicked, unsubscribed. recipient: a bare address, "" for all. provider_event: the provider's id
    of the event; each is recorded once.
    """

    message_id: UUID
    kind: str
    at: datetime
    recipient: str = ""
    detail: str = ""
    provider: str = ""
    provider_event: str | None = None


async def happened(events: Sequence[Happened]) -> list[Happened]:
    """Record events from providers and recipients, raise statuses by rank and announce it; returns the new events.

    Events of unknown messages, and events recorded before, are left out.
    """
    if not events:
        return []
    async with unit_of_work() as work:
        fresh = await _fresh(events)
        await note(fresh)
        await _raise_statuses(fresh)
        await _count(fresh)
        for event in fresh:
            announced = _announcement(event)
            if announced is not None:
                work.announce(announced)
    return fresh


async def note(events: Sequence[Happened]) -> None:
    """Insert events and nothing else; in the caller's unit of work."""
    statuses = Counter(event.kind for event in events if event.kind in set(Status))

    async def measured() -> None:
        for status, number in statuses.items():
            count(MESSAGES_TOTAL.name, number, status=status)

    async with unit_of_work() as work:
        work.after_commit(measured)
    await Happening.bulk_create(
        [
            Happening(
                message_id=event.message_id,
                at=event.at,
                kind=event.kind,
                recipient=event.recipient[:320],
                detail=event.detail.replace("\x00", "")[:_LONGEST_DETAIL],
                provider=event.provider,
                provider_event=event.provider_event,
            )
            for event in events
        ],
        ignore_conflicts=True,  # when two calls bring the same event at the same time, one row stays
    )


async def timeline(message: Mapping[str, Any]) -> list[Row]:
    """The events of a message since it was accepted, the oldest first: at, kind, recipient, detail, provider."""
    happenings = Happening.filter(message_id=message["id"]).order_by("at", "id")
    rows = await happenings.values("at", "kind", "recipient", "detail", "provider")
    accepted = {"at": message["created_at"], "kind": "accepted", "recipient": "", "detail": "", "provider": ""}
    return [accepted, *map(dict, rows)]


async def _fresh(events: Sequence[Happened]) -> list[Happened]:
    message_ids = set(
        await Message.filter(id__in=list({event.message_id for event in events})).values_list("id", flat=True)
    )
    event_ids = [event.provider_event for event in events if event.provider_event is not None]
    rows = (
        Happening.filter(provider_event__in=event_ids).values_list("provider", "provider_event") if event_ids else None
    )
    seen = set(await rows) if rows is not None else set()
    fresh = []
    for event in events:
        key = (event.provider, event.provider_event)
        if event.message_id in message_ids and (event.provider_event is None or key not in seen):
            seen.add(key)
            fresh.append(event)
    return fresh


async def _raise_statuses(events: Sequence[Happened]) -> None:
    """Raise statuses in order of rank, with one UPDATE each, so that the highest is set last."""
    ids = defaultdict(set)
    for event in events:
        ids[event.kind].add(event.message_id)
    for status, below in _BELOW.items():
        if ids[status.value]:
            raised = Message.filter(id__in=list(ids[status.value]), status__in=below)
            await raised.update(status=status, version=F("version") + 1, updated_at=datetime.now(UTC))


async def _count(events: Sequence[Happened]) -> None:
    for event in events:
        column = COUNTED.get(event.kind)
        if column is not None:
            await Message.filter(id=event.message_id).update(**{column: F(column) + 1})


def _announcement(event: Happened) -> Event | None:
    match event.kind:
        case "delivered":
            return MessageDelivered(message_id=event.message_id, recipient=event.recipient, at=event.at)
        case "bounced":
            return MessageBounced(
                message_id=event.message_id, recipient=event.recipient, reason=event.detail, at=event.at
            )
        case "complained":
            return MessageComplained(message_id=event.message_id, recipient=event.recipient, at=event.at)
    return None
