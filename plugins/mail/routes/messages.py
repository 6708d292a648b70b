"""HTTP endpoints `/mail/messages`: send, list, read, cancel and retry messages."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, StringConstraints

from host.sdk import Accepted, Instant, OneLine, Page, Permission, Query, Routes, Row, TextForm

from ..addresses import AddressText, searched
from ..models import Status
from ..service import messages
from ..service.attachments import Enclosed
from ..service.drafts import Draft
from ..service.messages import MESSAGES, QUOTA, RATE, WHOLE
from ..settings import Category

routes = Routes()

_WRITERS, _ALL = ("admin", "member"), ("admin", "member", "viewer")

PERMISSIONS = (
    Permission("mail.messages.create", "Send mail", _WRITERS),
    Permission("mail.messages.read", "See messages and their events", _ALL),
    Permission("mail.messages.update", "Cancel and retry messages", _WRITERS),
)

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request body, enough for 10 MB of attachments in base64."""


def _plain_name(text: str) -> str:
    if re.search(r"[/\\]", text) or text in {".", ".."}:
        raise ValueError("This is a file's name, not a path.")
    return text


Line = Annotated[str, StringConstraints(max_length=500), OneLine]
Prose = Annotated[str, StringConstraints(max_length=2_000_000)]
Locale = Annotated[str, TextForm(r"([A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3})?", "a language tag such as de or de-AT")]
TemplateName = Annotated[
    str, TextForm(r"([a-z0-9][a-z0-9_-]{0,62})?", "a template's name: lower-case letters, digits, - and _")
]
Filename = Annotated[str, StringConstraints(min_length=1, max_length=200), OneLine, AfterValidator(_plain_name)]
ContentType = Annotated[
    str, TextForm(r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}", "a content type such as application/pdf")
]
Addresses = Annotated[list[AddressText], Field(max_length=messages.MAX_RECIPIENTS)]


class UploadedFile(BaseModel, extra="forbid"):
    """A file of `POST /mail/attachments`."""

    id: UUID


class EnclosedFile(BaseModel, extra="forbid"):
    """A file within the request; its content in base64."""

    filename: Filename
    content_type: ContentType
    content: str


class Content(BaseModel, extra="forbid"):
    """The content: a template, or a subject with text, HTML or both."""

    from_: AddressText | None = Field(
        default=None, alias="from", description="A confirmed sender; default: the organisation's own."
    )
    subject: Line = ""
    text: Prose = ""
    html: Prose = ""
    template: TemplateName = ""
    locale: Locale = ""
    reply_to: Annotated[list[AddressText], Field(max_length=10)] = []
    category: Category | None = Field(
        default=None,
        description="Category that readers may unsubscribe from; default: the template's own, or transactional.",
    )
    send_at: Instant | None = Field(default=None, description="Not before this time; at most a year ahead.")
    attachments: Annotated[list[UploadedFile | EnclosedFile], Field(max_length=50)] = []

    def draft(self) -> Draft:
        """The request body as a `Draft`."""
        files = [
            each.id if isinstance(each, UploadedFile) else Enclosed(each.filename, each.content_type, each.content)
            for each in self.attachments
        ]
        return Draft(
            sender=self.from_,
            subject=self.subject,
            text=self.text,
            html=self.html,
            template=self.template,
            locale=self.locale,
            reply_to=self.reply_to,
            category=self.category or "",
            send_at=self.send_at,
            attachments=files,
        )


class NewMessage(Content):
    """A message to up to 50 recipients in all."""

    to: Addresses = []
    cc: Addresses = []
    bcc: Addresses = []
    variables: dict[str, Any] = {}
    when_limited: Literal["refuse", "wait"] = Field(
        default="refuse", description="Beyond the plan's rate limit: refuse with 429, or wait and send later."
    )


class Happened(BaseModel):
    """An event of a message; recipient "": all of them."""

    at: AwareDatetime
    kind: str
    recipient: str
    detail: str
    provider: str


class MessageWithTimeline(BaseModel):
    """A message with its content and what happened to it."""

    id: UUID
    batch_id: UUID | None
    status: Status
    category: str
    bulk: bool
    sender: str
    to: list[str]
    cc: list[str]
    bcc: list[str]
    reply_to: list[str]
    subject: str
    text: str
    html: str
    template: str
    template_version: int | None
    locale: str
    variables: dict[str, Any]
    attachments: list[dict[str, Any]]
    message_id: str
    provider: str
    provider_id: str
    attempts: int
    error: str
    when_limited: str
    send_at: AwareDatetime | None
    due_at: AwareDatetime | None
    sent_at: AwareDatetime | None
    emptied: bool
    opens: int
    clicks: int
    created_by: UUID | None
    version: int
    created_at: AwareDatetime
    updated_at: AwareDatetime
    timeline: list[Happened]


@routes.post(
    "/mail/messages",
    permission="mail.messages.create",
    name="messages.create",
    returns=WHOLE,
    limits=(QUOTA, RATE),
    max_body=MAX_BODY,
)
async def create_message(body: NewMessage) -> Accepted:
    """Send a message."""
    message = await messages.accept(
        body.draft(), to=body.to, cc=body.cc, bcc=body.bcc, variables=body.variables, when_limited=body.when_limited
    )
    return Accepted(message, f"/mail/messages/{message['id']}")


@routes.get("/mail/messages", permission="mail.messages.read", name="messages.list", listing=MESSAGES)
async def list_messages(query: Query) -> Page:
    """List the messages; `to`, `from` and `q` (the subject) look for a part of the text."""
    filters = {name: searched(text) if name in {"to", "from"} else text for name, text in query.filters.items()}
    return await MESSAGES.page(replace(query, filters=filters))


@routes.get(
    "/mail/messages/<uuid:message_id>",
    permission="mail.messages.read",
    name="messages.get",
    returns=MessageWithTimeline,
)
async def get_message(message_id: UUID) -> Row:
    """Read a message with its events."""
    return await messages.read(message_id)


@routes.post(
    "/mail/messages/<uuid:message_id>/cancel", permission="mail.messages.update", name="messages.cancel", returns=WHOLE
)
async def cancel_message(message_id: UUID) -> Row:
    """Cancel a message that waits to be sent."""
    return await messages.cancel(message_id)


@routes.post(
    "/mail/messages/<uuid:message_id>/retry",
    permission="mail.messages.update",
    name="messages.retry",
    returns=WHOLE,
    limits=(QUOTA, RATE),
)
async def retry_message(message_id: UUID) -> Accepted:
    """Send a failed, cancelled or suppressed message after all."""
    return Accepted(await messages.retry(message_id), f"/mail/messages/{message_id}")
