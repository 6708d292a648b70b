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
    """How many messages were, or are to be, written to the person and still have their content."""
    return len(await _written_to(person))


async def erase_messages(person: Person) -> int:
    """Call off what waits to be written to the person, and remove the content of what was."""
    found = await _written_to(person)
    for message_id in found:
        async with unit_of_work():
            message = await Message.filter(id=message_id).select_for_update().first()
            if message is None:
                continue
            others = [each for each in message.recipients.split("\n") if not is_mentioned(person, each)]
            if message.status in WAITING and others:  # they get it all the same
                left = {field: _but_for(person, getattr(message, field)) for field in _FIELDS}
                await Message.filter(id=message_id).update(recipients="\n".join(others), **left)
                continue
            if message.status in WAITING and message.due_at is not None:
                await messages.cancel(message_id)
            if message.status != Status.SENDING:  # by then, `find` comes upon it again
                gone = {"subject": "", "text": "", "html": "", "variables": {}, "emptied": True}
                named = {field: without(person, getattr(message, field)) for field in (*_FIELDS, "recipients")}
                await Message.filter(id=message_id).update(**gone, **named)
    return len(found)


async def _written_to(person: Person) -> list[UUID]:
    ids, found = await rows_mentioning(Message, person), list[UUID]()
    for message_id in ids:
        message = await Message.get_or_none(id=message_id)
        if message is not None and is_mentioned(person, message.recipients):
            found.append(message_id)
    return found


async def find_recipients(person: Person) -> int:
    """How many pieces of batches wait to become messages to the person."""
    return len(await rows_mentioning(BatchSlice, person))


async def erase_recipients(person: Person) -> int:
    """Take the person out of them."""
    ids = await rows_mentioning(BatchSlice, person)
    for each in ids:
        async with unit_of_work():
            part = await BatchSlice.filter(id=each).select_for_update().first()
            if part is not None:
                part.recipients = [one for one in part.recipients if not is_mentioned(person, one["email"])]
                await part.save(update_fields=["recipients"])
    return len(ids)


async def find_lists(person: Person) -> int:
    """How many rows say what may be sent to the person."""
    return sum([await model.filter(address__in=person.addresses).count() for model in (Suppression, Subscription)])


async def erase_lists(person: Person) -> int:
    """Keep only what tells the address when somebody gives it again: that it wants no mail must outlive the erasure."""
    changed = 0
    for address in person.addresses:
        gone = {"address": hidden(address), "detail": "", "message_id": None, "created_by": None}
        await Suppression.filter(address=hidden(address)).delete()
        changed += await Suppression.filter(address=address).update(**gone)
        await Subscription.filter(address=hidden(address)).delete()
        changed += await Subscription.filter(address=address).update(address=hidden(address))
    return changed


async def find_senders(person: Person) -> int:
    """How many senders write as the person."""
    return await Sender.filter(email__in=person.addresses).count()


async def erase_senders(person: Person) -> int:
    """Remove them: nobody writes in the person's name any more."""
    return await Sender.filter(email__in=person.addresses).delete()


def _but_for(person: Person, addresses: Sequence[str]) -> list[str]:
    return [each for each in addresses if not is_mentioned(person, each)]


PERSONAL_DATA = (
    PersonalData(
        "messages", "Messages to the person", find_messages, erase_messages, kept="That one was sent, and when."
    ),
    PersonalData("recipients", "Batches that will write to the person", find_recipients, erase_recipients),
    PersonalData(
        "lists",
        "What may be sent to the address: suppressions, subscriptions",
        find_lists,
        erase_lists,
        kept="A keyed hash of the address, so that nobody writes to it again.",
    ),
    PersonalData("senders", "Senders with the person's address", find_senders, erase_senders),
)
