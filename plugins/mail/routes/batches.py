"""HTTP endpoints `/mail/batches`: send one content to many recipients, show progress, cancel."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from host.sdk import Accepted, Page, Permission, Query, Routes, Row

from ..models import BatchStatus
from ..service import batches
from ..service.batches import BATCHES, MAX_BATCH, Recipient
from ..service.messages import QUOTA
from .messages import Content, Locale

routes = Routes()

_WRITERS, _ALL = ("admin", "member"), ("admin", "member", "viewer")

PERMISSIONS = (
    Permission("mail.batches.create", "Send mail to many at once", _WRITERS),
    Permission("mail.batches.read", "See batches and their progress", _ALL),
    Permission("mail.batches.update", "Cancel batches", _WRITERS),
)

MAX_BODY = 8 * 1024 * 1024


class NewRecipient(BaseModel, extra="forbid"):
    # Checked by the service, some at a time: 10,000 addresses at once would block all other requests for a second.
    to: Annotated[str, StringConstraints(min_length=3, max_length=654)]
    variables: dict[str, Any] = {}
    locale: Locale = ""


class NewBatch(Content):
    """One content for up to 10,000 recipients, each with their own variables."""

    recipients: Annotated[list[NewRecipient], Field(min_length=1, max_length=MAX_BATCH)]


class BatchWithProgress(BaseModel):
    """A batch with the number of its messages in each status, and its progress (0..1)."""

    id: UUID
    status: BatchStatus
    category: str
    sender: str
    reply_to: list[str]
    subject: str
    template: str
    template_version: int | None
    locale: str
    attachments: list[dict[str, Any]]
    total: int
    expanded: int
    send_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    created_by: UUID | None
    version: int
    created_at: AwareDatetime
    updated_at: AwareDatetime
    counts: dict[str, int]
    progress: float


@routes.post(
    "/mail/batches",
    permission="mail.batches.create",
    name="batches.create",
    returns=BatchWithProgress,
    limits=(QUOTA,),
    max_body=MAX_BODY,
)
async def create_batch(body: NewBatch) -> Accepted:
    """Send one content to many recipients."""
    recipients = [Recipient(each.to, each.variables, each.locale) for each in body.recipients]
    batch = await batches.accept(body.draft(), recipients)
    return Accepted(batch, f"/mail/batches/{batch['id']}")


@routes.get("/mail/batches", permission="mail.batches.read", name="batches.list", listing=BATCHES)
async def list_batches(query: Query) -> Page:
    """List the batches."""
    return await BATCHES.page(query)


@routes.get(
    "/mail/batches/<uuid:batch_id>", permission="mail.batches.read", name="batches.get", returns=BatchWithProgress
)
async def get_batch(batch_id: UUID) -> Row:
    """Read a batch with its progress."""
    return await batches.read(batch_id)


@routes.post(
    "/mail/batches/<uuid:batch_id>/cancel",
    permission="mail.batches.update",
    name="batches.cancel",
    returns=BatchWithProgress,
)
async def cancel_batch(batch_id: UUID) -> Row:
    """Cancel the messages of a batch that are not sent yet."""
    return await batches.cancel(batch_id)
