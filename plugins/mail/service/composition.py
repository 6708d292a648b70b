"""Build the message to send from its row and template, and find what would keep it from being sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from html import escape
from typing import Any

from uuid_utils.compat import uuid7

from host.sdk import NotFound, ValidationFailed, sign_token

from ..addresses import Address, stored_address
from ..models import Batch, Message, Status
from ..outgoing import MACHINE_MADE, Outgoing, check, check_varying
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
    link = unsubscribe_link(emails[0], message.category) if message.bulk else ""
    words = _words(content, template, message.variables, link, message.locale)
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
        headers=(*(unsubscribe_headers(link) if link else ()), *machine_made),
        reference=sign_token(FEEDBACK, message=str(message.id)),
        category=message.category,
        priority=BULK if message.bulk else TRANSACTIONAL,
    )


def _words(
    content: Message | Batch, template: Prepared | None, variables: Mapping[str, Any], link: str, locale: str
) -> Rendered:
    """Subject, text and HTML for one recipient; bulk mail, which has a link to unsubscribe, gets it into both."""
    words = _rendered(content, template, variables, link)
    if not link:
        return words
    says = library().texts(locale)["unsubscribe"]
    html, text = words.html, words.text
    if html and f'="{link}' not in html and f"='{link}" not in html:
        piece = f'<p style="font-size:14px"><a href="{escape(link)}">{escape(says)}</a></p>'
        html = at_the_end(html, piece)
    if text and link not in text:
        text = f"{text.rstrip()}\n\n{says}: {link}\n"
    return replace(words, html=html, text=text)


def _rendered(content: Message | Batch, template: Prepared | None, variables: Mapping[str, Any], link: str) -> Rendered:
    if template is None:
        return Rendered(content.subject, content.text, content.html)
    return template.render({**variables, "unsubscribe_url": link} if link else variables)


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

    def compose_and_check() -> str:
        outgoing = compose(message, content, template)
        check(outgoing)
        return outgoing.subject

    return _complaints(compose_and_check, template, message.variables)


def row_complaints(
    batch: Batch, template: Prepared | None, address: Address, variables: Mapping[str, Any]
) -> dict[str, str]:
    """`complaints` about one row of a batch of which another was checked in full: only what varies is checked."""

    def render_and_check() -> str:
        link = unsubscribe_link(address.email, batch.category) if batch.bulk else ""
        subject = _rendered(batch, template, variables, link).subject
        check_varying(address, subject, unsubscribe_headers(link) if link else ())
        return subject

    return _complaints(render_and_check, template, variables)[0]


def _complaints(
    subject_of: Callable[[], str], template: Prepared | None, variables: Mapping[str, Any]
) -> tuple[dict[str, str], str]:
    """What composing a message by `subject_of` complains about, by field, and what it returns."""
    if template is None and variables:
        return {"variables": "Only a template takes variables."}, ""
    wrong: dict[str, str] = {}
    unknown = template.unknown(variables) if template is not None else ()
    missing: tuple[str, ...] = ()
    subject = ""
    try:
        subject = subject_of()
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
