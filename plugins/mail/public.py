"""Functions of the mail plugin that other plugins may call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from host.sdk import Row

from .service import messages
from .service.attachments import Enclosed
from .service.drafts import Draft
from .service.messages import WHOLE, WhenLimited

__all__ = ["Enclosed", "find", "send"]


async def send(
    to: Sequence[str],
    *,
    subject: str = "",
    text: str = "",
    html: str = "",
    template: str = "",
    variables: Mapping[str, Any] | None = None,
    locale: str = "",
    sender: str | None = None,
    reply_to: Sequence[str] = (),
    category: str = "",
    send_at: datetime | None = None,
    attachments: Sequence[UUID | Enclosed] = (),
    when_limited: WhenLimited = "wait",
) -> Row:
    """Send a message: a template with variables, or a subject with text, HTML or both.

    Call it outside a unit of work: enclosed attachments are stored, and templates read, before it is accepted.

    Raises:
        ValidationFailed: a field is invalid; details name it.
        RateLimited: beyond the plan's rate with `when_limited="refuse"`.
        QuotaExceeded: the plan's monthly quota is used up.
        PayloadTooLarge: the attachments are larger than a message may carry.
    """
    draft = Draft(
        sender=sender,
        subject=subject,
        text=text,
        html=html,
        template=template,
        locale=locale,
        reply_to=reply_to,
        category=category,
        send_at=send_at,
        attachments=attachments,
    )
    return await messages.accept(draft, to=to, variables=variables, when_limited=when_limited)


async def find(message_id: UUID) -> Row | None:
    """The message as the API shows it, without its time line; None when this tenant has no such message."""
    return await WHOLE.find(id=message_id)
