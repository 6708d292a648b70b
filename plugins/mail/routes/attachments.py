"""HTTP endpoints `/mail/attachments`: upload, list, read and delete files."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from host.sdk import Created, Page, Permission, Query, RequestFacts, Routes, Row, ValidationFailed

from ..service import attachments
from ..service.attachments import ATTACHMENTS, LARGEST, STORED
from .messages import ContentType, Filename

routes = Routes()

_WRITERS, _ALL = ("admin", "member"), ("admin", "member", "viewer")

PERMISSIONS = (
    Permission("mail.attachments.create", "Upload attachments", _WRITERS),
    Permission("mail.attachments.read", "See attachments", _ALL),
    Permission("mail.attachments.delete", "Delete attachments", _WRITERS),
)

MAX_BODY = 100 * 1024 * 1024
"""Bytes of an upload, at most; the deployment's `max_attachments` is usually lower."""

_CONTENT_TYPE: TypeAdapter[str] = TypeAdapter(ContentType)


class Upload(BaseModel, extra="forbid"):
    filename: Annotated[Filename, Field(description="The file name that the recipient sees.")]


@routes.post(
    "/mail/attachments",
    permission="mail.attachments.create",
    name="attachments.create",
    returns=ATTACHMENTS,
    limits=(STORED, LARGEST),
    max_body=MAX_BODY,
)
async def create_attachment(query: Upload, facts: RequestFacts) -> Created:
    """Upload a file: the raw bytes as the body, its type as Content-Type."""
    kind = facts.headers.get("content-type", "application/octet-stream").partition(";")[0].strip()
    try:
        content_type = _CONTENT_TYPE.validate_python(kind)
    except ValidationError:
        raise ValidationFailed(details={"content-type": "Name the file's type, such as application/pdf."}) from None
    row = await attachments.upload(query.filename, content_type, facts.chunks())
    return Created(row, f"/mail/attachments/{row['id']}")


@routes.get("/mail/attachments", permission="mail.attachments.read", name="attachments.list", listing=ATTACHMENTS)
async def list_attachments(query: Query) -> Page:
    """List the attachments."""
    return await ATTACHMENTS.page(query)


@routes.get(
    "/mail/attachments/<uuid:attachment_id>",
    permission="mail.attachments.read",
    name="attachments.get",
    returns=ATTACHMENTS,
)
async def get_attachment(attachment_id: UUID) -> Row:
    """Read the name, type and size of an attachment."""
    return await ATTACHMENTS.get(attachment_id)


@routes.delete(
    "/mail/attachments/<uuid:attachment_id>", permission="mail.attachments.delete", name="attachments.delete"
)
async def delete_attachment(attachment_id: UUID) -> None:
    """Delete an attachment."""
    await attachments.remove(attachment_id)
