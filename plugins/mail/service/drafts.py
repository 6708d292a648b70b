"""Check the content of a new message or batch and turn it into table columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from host.sdk import NotFound, ValidationFailed, tenant_settings

from ..addresses import Address, parse_address
from ..settings import TenantSettings
from .attachments import Enclosed
from .senders import sender_for
from .templates import current_version, library, text_of

MAX_RECIPIENTS = 50
LATEST = timedelta(days=366)
BULK, TRANSACTIONAL = 10, 0
"""Priorities of delivery jobs: transactional mail, which people wait for, goes first."""

TRANSACTIONAL_CATEGORY = "transactional"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The content of a new message or batch. Either a template, or a subject with text, HTML or both.

    sender, reply_to: addresses as text; no sender: the organisation's own. send_at: not before (aware). category: ""
    means the template's own, else transactional; a batch has to name it unless its template does.
    """

    sender: str | None = None
    subject: str = ""
    text: str = ""
    html: str = ""
    template: str = ""
    locale: str = ""
    reply_to: Sequence[str] = ()
    category: str = ""
    send_at: datetime | None = None
    attachments: Sequence[UUID | Enclosed] = ()


async def columns_of(draft: Draft, *, many: bool = False) -> dict[str, Any]:
    """The columns that Message and Batch have in common, except for the attachments, which are not stored yet.

    many: it is a batch, which has to have a category.

    Raises:
        ValidationFailed: details name each invalid field.
    """
    wrong = _contradictions(draft)
    if draft.send_at is not None and draft.send_at > datetime.now(UTC) + LATEST:
        wrong["send_at"] = "This is more than a year ahead."
    category = draft.category or library().category(draft.template) or ("" if many else TRANSACTIONAL_CATEGORY)
    if not category:
        wrong["category"] = (
            'Say which category this is, such as "newsletter", which readers may unsubscribe from, or "transactional".'
        )
    if wrong:
        raise ValidationFailed(details=wrong)
    tenant_values = await tenant_settings(TenantSettings)
    sender = await sender_for(draft.sender)
    text, html = (each if each.strip() else "" for each in (draft.text, draft.html))
    return {
        "sender": str(sender),
        "category": category,
        "bulk": category not in tenant_values.transactional_categories,
        "subject": draft.subject,
        "text": text or (text_of(html) if html else ""),
        "html": html,
        "template": draft.template,
        "template_version": await _version(draft),
        "locale": draft.locale,
        "reply_to": list(draft.reply_to),
        "send_at": draft.send_at,
    }


def _contradictions(draft: Draft) -> dict[str, str]:
    content = draft.subject or draft.text or draft.html
    if draft.template and content:
        return {"template": "Give a template, or subject and content, not both."}
    if not draft.template and not (draft.text.strip() or draft.html.strip()):
        return {"text": "Give a text with something in it, html or a template."}
    if not draft.template and not draft.subject.strip():
        return {"subject": "A message without a template needs a subject."}
    return {}


async def _version(draft: Draft) -> int | None:
    if not draft.template:
        return None
    try:
        return await current_version(draft.template, draft.locale)
    except NotFound:
        raise ValidationFailed(details={"template": f"There is no template {draft.template!r}."}) from None


def addresses_of(texts: Sequence[str], field: str) -> list[Address]:
    """Parse addresses.

    Raises:
        ValidationFailed: details name each invalid one, such as `to.2`.
    """
    addresses, wrong = [], {}
    for number, text in enumerate(texts):
        try:
            addresses.append(parse_address(text))
        except ValueError as error:
            wrong[f"{field}.{number}"] = str(error)
    if wrong:
        raise ValidationFailed(details=wrong)
    return addresses


def due(send_at: datetime | None, earliest: datetime | None = None) -> datetime:
    """When a message is due: now, at `send_at` or at `earliest`, whichever is last."""
    return max(each for each in (datetime.now(UTC), send_at, earliest) if each is not None)
