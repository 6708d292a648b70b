"""Build the message to send from its row and template, and find what would keep it from being sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from html import escape
from typing import Any

from uuid_utils.compat import uuid7

from host.sdk import NotFound, ValidationFailed, sign_token

from ..addresses import Address, stored_address
from ..models import Batch, Message, Status
from ..outgoing import MACHINE_MADE, Outgoing, check
from .drafts import BULK, TRANSACTIONAL
from .subscriptions import unsubscribe_headers, unsubscribe_link
from .templates import MissingVariables, Prepared, Rendered, RenderFailed, library, prepared
from .timeline import FEEDBACK
from .tracking import at_the_end, track


def compose(
    message: Message,
    content: Message | Batch,
    template: Prepared | None,
    *,
    closed: Collection[str] = (),
    tracking: tuple[bool, bool] = (False, False),
) -> Outgoing:
    """The message as it will be sent, without its attachments.

    content: the row with subject, text and HTML: the message's batch, or the message itself. template: None where it
    has none. closed: recipients to leave out. tracking: whether to track opens, and clicks.

    Raises:
        MissingVariables, RenderFailed: the template needs more variables, or fails.
    """
    emails = message.recipients.split("\n")
    words = _words(message, content, template, emails[0])
    html, (opens, clicks) = words.html, tracking
    if html and (opens or clicks):
        html = track(html, message.id, emails[0] if len(emails) == 1 else "", opens=opens, clicks=clicks)
    machine_made = MACHINE_MADE if template is not None or message.batch_id is not None or message.bulk else ()

    def open_to(texts: Sequence[str]) -> tuple[Address, ...]:
        return tuple(each for each in map(stored_address, texts) if each.email not in closed)

    return Outgoing(
        message_id=message.message_id,
        sender=stored_address(message.sender),
        to=open_to(message.to),
        cc=open_to(message.cc),
        bcc=open_to(message.bcc),
        reply_to=tuple(map(stored_address, message.reply_to)),
        subject=words.subject,
        text=words.text,
        html=html,
        headers=(*(unsubscribe_headers(emails[0], message.category) if message.bulk else ()), *machine_made),
        reference=sign_token(FEEDBACK, message=str(message.id)),
        category=message.category,
        priority=BULK if message.bulk else TRANSACTIONAL,
    )


def _words(message: Message, content: Message | Batch, template: Prepared | None, email: str) -> Rendered:
    """Subject, text and HTML for one recipient; bulk mail gets the unsubscribe link in text and HTML."""
    link = unsubscribe_link(email, message.category) if message.bulk else ""
    if template is None:
        words = Rendered(content.subject, content.text, content.html)
    else:
        words = template.render(message.variables | ({"unsubscribe_url": link} if link else {}))
    if not link:
        return words
    says = library().texts(message.locale)["unsubscribe"]
    html, text = words.html, words.text
    if html and f'="{link}' not in html and f"='{link}" not in html:
        piece = f'<p style="font-size:14px"><a href="{escape(link)}">{escape(says)}</a></p>'
        html = at_the_end(html, piece)
    if text and link not in text:
        text = f"{text.rstrip()}\n\n{says}: {link}\n"
    return replace(words, html=html, text=text)


def batch_message(batch: Batch, recipient: Mapping[str, Any], due_at: datetime, now: datetime) -> Message:
    """The message of one recipient of a batch; `recipient` in the form of slices."""
    message_id, locale = uuid7(), recipient["locale"] or batch.locale
    return Message(
        id=message_id,
        batch_id=batch.id,
        status=Status.SCHEDULED if due_at > now + timedelta(seconds=1) else Status.QUEUED,
        category=batch.category,
        bulk=batch.bulk,
        sender=batch.sender,
        to=[recipient["to"]],
        reply_to=batch.reply_to,
        recipients=recipient["email"],
        subject=batch.subject,
        template=batch.template,
        template_version=batch.template_version if locale == batch.locale else None,
        locale=locale,
        variables=recipient["variables"],
        attachments=batch.attachments,
        message_id=message_id_of(message_id, batch.sender),
        when_limited="wait",
        charged=recipient["charged"],
        charged_at=batch.created_at,
        send_at=batch.send_at,
        due_at=due_at,
        created_by=batch.created_by,
    )


def message_id_of(number: object, sender: str) -> str:
    """The Message-ID header of a message (RFC 5322 section 3.6.4)."""
    return f"<{number}@{stored_address(sender).email.rpartition('@')[2]}>"


# -- when a message is accepted --------------------------------------------------------------------------


async def template_of(name: str, locale: str, version: int | None) -> Prepared | None:
    """The template that a message names; None where it names none.

    Raises:
        ValidationFailed: there is no such template, or it is no longer valid.
    """
    if not name:
        return None
    try:
        return await prepared(name, locale=locale, version=version)
    except NotFound:
        wrong = f"There is no template {name!r}."
    except RenderFailed as error:
        wrong = str(error)
    raise ValidationFailed(details={"template": wrong})


def complaints(message: Message, content: Message | Batch, template: Prepared | None) -> tuple[dict[str, str], str]:
    """What would keep a message from being sent, by field (else {}), and its rendered subject."""
    if template is None and message.variables:
        return {"variables": "Only a template takes variables."}, ""
    wrong: dict[str, str] = {}
    unknown = template.unknown(message.variables) if template is not None else ()
    missing: tuple[str, ...] = ()
    subject = ""
    try:
        outgoing = compose(message, content, template)
        check(outgoing)
        subject = outgoing.subject
    except MissingVariables as error:
        missing = error.names
    except RenderFailed as error:
        wrong["template"] = str(error)
    except ValueError as error:
        wrong["message"] = str(error)
    groups = (("missing", missing), ("unknown", unknown))
    if names := "; ".join(f"{label}: {', '.join(sorted(group))}" for label, group in groups if group):
        wrong["variables"] = names
    return wrong, subject


def refused(wrong: Mapping[str, str], template: str) -> ValidationFailed:
    """The error for `complaints`; where variables are wrong, it points to the template's description."""
    described = any(field.rpartition(".")[2] == "variables" for field in wrong) and template
    said = f"Some fields are invalid. GET /mail/templates/{template} describes the variables."
    return ValidationFailed(said if described else None, details=wrong)
