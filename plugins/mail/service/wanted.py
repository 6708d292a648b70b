"""Send the messages that other plugins ask the host for, as messages of the organisation."""

from __future__ import annotations

from uuid import UUID, uuid5

from host.sdk import ApiError, GiveUp, MessageWanted, Subscription, job_id, tenant

from ..models import Message
from .drafts import TRANSACTIONAL, Draft
from .messages import accept


async def when_message_wanted(event: MessageWanted) -> None:
    """Accept the message, unless it was accepted before: same plugin, key and address.

    Raises:
        GiveUp: it can never be sent as it is, or the plan's quota is used up.
    """
    number = await _number(event)
    if await Message.filter(id=number).exists():
        return
    draft = Draft(template=event.template, locale=event.locale, category=event.category)
    try:
        await accept(draft, to=[event.to], variables=event.variables, when_limited="wait", message_id=number)
    except ApiError as error:
        if error.status >= 500:
            raise
        wrong = "; ".join(f"{field}: {said}" for field, said in error.details.items())
        raise GiveUp(f"{event.template} was not sent: {error.message} {wrong}".rstrip()) from error


async def _number(event: MessageWanted) -> UUID:
    """The id of its message: the same for the same key and address; without a key, for the same job."""
    owner = event.template.partition(".")[0]
    asked = f"key {event.key}" if event.key else f"job {job_id()}"
    return uuid5((await tenant()).id, f"{owner}\n{asked}\n{event.to}")


LISTENERS = (Subscription("host.MessageWanted", when_message_wanted, TRANSACTIONAL),)
