"""Events of the mail plugin: what became of messages, batches and addresses."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from host.sdk import Event, EventType


class MessageSent(Event, frozen=True):
    message_id: UUID
    batch_id: UUID | None
    provider: str
    at: datetime


class MessageDelivered(Event, frozen=True):
    message_id: UUID
    recipient: str
    at: datetime


class MessageBounced(Event, frozen=True):
    message_id: UUID
    recipient: str
    reason: str
    at: datetime


class MessageComplained(Event, frozen=True):
    message_id: UUID
    recipient: str
    at: datetime


class MessageFailed(Event, frozen=True):
    message_id: UUID
    batch_id: UUID | None
    reason: str
    at: datetime


class BatchFinished(Event, frozen=True):
    batch_id: UUID
    total: int


class AddressSuppressed(Event, frozen=True):
    address: str
    reason: str  # bounce, complaint, manual
    message_id: UUID | None


class AddressUnsubscribed(Event, frozen=True):
    address: str
    category: str  # "*": every category that can be unsubscribed from
    source: str  # one_click, page, provider, settings


class AddressSubscribed(Event, frozen=True):
    address: str
    category: str
    source: str


EVENTS = (
    EventType(MessageSent, "A message was handed to a provider."),
    EventType(MessageDelivered, "The provider says that a message reached a recipient."),
    EventType(MessageBounced, "The provider says that a message cannot reach a recipient."),
    EventType(MessageComplained, "A recipient says that a message is spam."),
    EventType(MessageFailed, "A message was given up; `reason` says why. It can be retried by hand."),
    EventType(BatchFinished, "No message of a batch waits to be sent any more; not announced for cancelled batches."),
    EventType(
        AddressSuppressed, "An address was added to the suppression list: it bounced, complained, or was added by hand."
    ),
    EventType(
        AddressUnsubscribed, "An address was unsubscribed from a category, by its owner or by a member of the tenant."
    ),
    EventType(AddressSubscribed, "An address was subscribed again to a category that it had been unsubscribed from."),
)
