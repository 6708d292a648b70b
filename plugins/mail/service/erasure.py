"""Find and erase personal data in messages, batches, suppressions, subscriptions and senders."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from host.sdk import Person, PersonalData, is_mentioned, rows_mentioning, unit_of_work, without

from ..models import BatchSlice, Message, Status, Subscription, Suppression
from ..models.messages import WAITING
from ..models.senders import Sender
from . import messages
from .suppressions import hidden

_FIELDS = ("to", "cc", "bcc")


async def find_messages(person: Person) -> int:
    """Count the messages to the person, sent or not, that still have their content."""
    return len(await _written_to(person))


async def erase_messages(person: Person) -> int:
    """Cancel waiting messages to the person, and remove the content of sent ones."""
    message_ids = await _written_to(person)
    for message_id in message_ids:
        async with unit_of_work():
            message = await Message.filter(id=message_id).select_for_update().first()
            if message is None:
                continue
            others = [each for each in message.recipients.split("\n") if not is_mentioned(person, each)]
            if message.status in WAITING and others:  # the others still get it
                left = {field: _but_for(person, getattr(message, field)) for field in _FIELDS}
                await Message.filter(id=message_id).update(recipients="\n".join(others), **left)
                continue
            if message.status in WAITING and message.due_at is not None:
                await messages.cancel(message_id)
            if message.status != Status.SENDING:  # `find` finds it again once it is sent
                gone = {"subject": "", "text": "", "html": "", "variables": {}, "emptied": True}
                named = {field: without(person, getattr(message, field)) for field in (*_FIELDS, "recipients")}
                await Message.filter(id=message_id).update(**gone, **named)
    return len(message_ids)


async def _written_to(person: Person) -> list[UUID]:
    ids, matching = await rows_mentioning(Message, person), list[UUID]()
    for message_id in ids:
        message = await Message.get_or_none(id=message_id)
        if message is not None and is_mentioned(person, message.recipients):
            matching.append(message_id)
    return matching


async def find_recipients(person: Person) -> int:
    """Count the slices of batches that still contain the person as a recipient."""
    return len(await rows_mentioning(BatchSlice, person))


async def erase_recipients(person: Person) -> int:
    """Remove the person from the slices of batches."""
    ids = await rows_mentioning(BatchSlice, person)
    for slice_id in ids:
        async with unit_of_work():
            part = await BatchSlice.filter(id=slice_id).select_for_update().first()
            if part is not None:
                part.recipients = [
                    recipient for recipient in part.recipients if not is_mentioned(person, recipient["email"])
                ]
                await part.save(update_fields=["recipients"])
    return len(ids)


async def find_lists(person: Person) -> int:
    """Count the suppressions and subscriptions of the person's addresses."""
    return sum([await model.filter(address__in=person.addresses).count() for model in (Suppression, Subscription)])


async def erase_lists(person: Person) -> int:
    """Replace the addresses by keyed hashes, so that what they want no mail of outlives the erasure."""
    changed = 0
    for address in person.addresses:
        gone = {"address": hidden(address), "detail": "", "message_id": None, "created_by": None}
        await Suppression.filter(address=hidden(address)).delete()
        changed += await Suppression.filter(address=address).update(**gone)
        await Subscription.filter(address=hidden(address)).delete()
        changed += await Subscription.filter(address=address).update(address=hidden(address))
    return changed


async def find_senders(person: Person) -> int:
    """Count the senders with the person's addresses."""
    return await Sender.filter(email__in=person.addresses).count()


async def erase_senders(person: Person) -> int:
    """Delete the senders with the person's addresses."""
    return await Sender.filter(email__in=person.addresses).delete()


def _but_for(person: Person, addresses: Sequence[str]) -> list[str]:
    return [each for each in addresses if not is_mentioned(person, each)]


PERSONAL_DATA = (
    PersonalData(
        "messages",
        "Messages to the person",
        find_messages,
        erase_messages,
        retained="That a message was sent, and when.",
    ),
    PersonalData("recipients", "Waiting batches with the person as a recipient", find_recipients, erase_recipients),
    PersonalData(
        "lists",
        "Suppressions and subscriptions of the address",
        find_lists,
        erase_lists,
        retained="A keyed hash of the address, so that nobody writes to it again.",
    ),
    PersonalData("senders", "Senders with the person's address", find_senders, erase_senders),
)
