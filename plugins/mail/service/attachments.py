"""Store, limit, read and clean up the files that messages carry."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pypika_tortoise.context import SqlContext
from pypika_tortoise.terms import Function as SqlFunction
from tortoise.expressions import Function, Q
from tortoise.functions import Sum

from host.sdk import (
    Conflict,
    Limit,
    PayloadTooLarge,
    Records,
    Row,
    ValidationFailed,
    actor,
    limit_value,
    settings,
    spend,
    storage,
    unit_of_work,
)

from ..models import OPEN, Attachment, Batch, BatchStatus, Message
from ..outgoing import Attached, check_attached
from ..settings import Settings

_FACTS = ("id", "filename", "content_type", "size")

ATTACHMENTS = Records(
    Attachment,
    fields=(*_FACTS, "needed_until", "created_by", "created_at"),
    filters={"filename": "contains", "content_type": "exact"},
)

STORED, LARGEST = "mail.attachments", "mail.attachment_size"


async def count_stored() -> int:
    """Bytes of the bound tenant's stored files."""
    [row] = await Attachment.all().annotate(bytes=Sum("size")).values("bytes")
    return int(row["bytes"] or 0)


LIMITS = (
    Limit(STORED, "quota", "Size of all stored attachments", "bytes", default="1 GB", count=count_stored),
    Limit(LARGEST, "value", "Size of all attachments of a message; the deployment may allow less", unit="bytes"),
)

UNUSED = timedelta(days=1)
"""How long an upload is kept until a message names it."""


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A file given within a message; content in base64 (RFC 4648 section 4)."""

    filename: str
    content_type: str
    content: str


# -- uploads ---------------------------------------------------------------------------------------------


async def upload(filename: str, content_type: str, chunks: AsyncIterator[bytes]) -> Row:
    """Store a file for messages to name within a day.

    Raises:
        PayloadTooLarge: it is larger than a message may carry; reading stops there.
        ValidationFailed: it is empty, or its name or type is not allowed in a message.
        QuotaExceeded: the plan's storage for attachments does not suffice.
    """
    if wrong := _complaints(filename, content_type, "filename"):
        raise ValidationFailed(details=wrong)
    largest = await _largest()
    row = await _begin(filename, content_type)
    try:
        size = await storage().put(_key(row["id"]), _counted(chunks, largest))
        if not size:
            raise ValidationFailed(details={"body": "The file is empty."})
        async with unit_of_work() as work:
            await spend(STORED, size)
            row = (await ATTACHMENTS.change(row["id"], {"size": size})).after
            work.record("mail.attachments.create", "attachment", row["id"], after=row)
    except BaseException:
        await _discard([row["id"]])
        raise
    return row


async def remove(attachment_id: UUID) -> None:
    """Delete a file that no message waits to be sent with.

    Raises:
        NotFound: this tenant has no such attachment.
        Conflict: a message or batch that waits to be sent carries it; details name it.
    """
    async with unit_of_work() as work:
        await Attachment.filter(id=attachment_id).select_for_update().first()  # `keep` waits for this, or this for it
        await _check_unneeded(attachment_id)
        row = await ATTACHMENTS.remove(attachment_id)
        work.record("mail.attachments.delete", "attachment", attachment_id, before=row)
    await storage().delete(_key(attachment_id))


async def _check_unneeded(attachment_id: UUID) -> None:
    waiting = (
        ("batch", Batch.filter(status__in=[BatchStatus.QUEUED, BatchStatus.RUNNING])),
        ("message", Message.filter(status__in=OPEN, due_at__isnull=False)),
    )
    for kind, rows in waiting:
        named = rows.annotate(files=_AsText("attachments")).filter(files__contains=str(attachment_id))
        if row := await named.first().values("id"):
            raise Conflict(
                f"The {kind} {row['id']} waits to be sent with this file: cancel it first.",
                details={f"{kind}_id": str(row["id"])},
            )


class _SqlAsText(SqlFunction):
    """A JSON column as text, on either database."""

    def __init__(self, term: Any) -> None:
        super().__init__("AS_TEXT", term)

    def get_function_sql(self, ctx: SqlContext) -> str:
        return f"CAST({self.args[0].get_sql(ctx.copy(with_alias=False))} AS TEXT)"


class _AsText(Function):
    database_func = _SqlAsText


# -- attachments of messages -----------------------------------------------------------------------------


async def gather(given: Sequence[UUID | Enclosed]) -> list[Row]:
    """The files of a message as {id, filename, content_type, size}; enclosed ones are stored, as if uploaded.

    Raises:
        ValidationFailed: an id is not one of this tenant's uploads, or a content is not base64.
        PayloadTooLarge: together they are larger than a message may carry.
        QuotaExceeded: the plan's storage for attachments does not suffice.
    """
    if not given:
        return []
    largest = await _largest()
    ids = [item for item in given if isinstance(item, UUID)]
    rows = await Attachment.filter(id__in=ids, size__gt=0).values(*_FACTS) if ids else []
    uploads = {row["id"]: {**row, "id": str(row["id"])} for row in rows}
    _check_total((uploads[item]["size"] if item in uploads else 0 for item in ids), largest)
    wrong: dict[str, str] = {}
    files, contents = list[Row](), dict[int, bytes]()
    for number, item in enumerate(given):
        if isinstance(item, Enclosed):
            wrong |= _complaints(item.filename, item.content_type, f"attachments.{number}.filename")
            try:
                contents[number] = base64.b64decode(item.content, validate=True)
            except (binascii.Error, ValueError):
                wrong[f"attachments.{number}.content"] = "This is not base64."
        elif item not in uploads:
            wrong[f"attachments.{number}.id"] = "There is no such attachment here; upload it first."
        else:
            file = uploads[item]
            wrong |= _complaints(file["filename"], file["content_type"], f"attachments.{number}.id")
    if wrong:
        raise ValidationFailed(details=wrong)
    _check_total([*(uploads[item]["size"] for item in ids), *map(len, contents.values())], largest)
    for number, item in enumerate(given):
        file = await _store(item, contents[number]) if isinstance(item, Enclosed) else uploads[item]
        files.append(file)
    return files


async def keep(files: Iterable[Mapping[str, Any]], until: datetime) -> None:
    """Keep files at least until `until`, for a message that names them; in the caller's unit of work.

    Raises:
        Conflict: one of them was deleted.
    """
    ids = {file["id"] for file in files}
    if ids:
        if len(await Attachment.filter(id__in=ids).order_by("id").select_for_update()) < len(ids):
            raise Conflict("One of the attachments was deleted: upload it again, and write a new message with it.")
        await Attachment.filter(id__in=ids, needed_until__lt=until).update(needed_until=until)


async def contents(files: Iterable[Mapping[str, Any]]) -> tuple[Attached, ...]:
    """Read the files from storage.

    Raises:
        NotFound: one of them was deleted.
    """
    read = []
    for file in files:
        content = b"".join([chunk async for chunk in await storage().get(_key(file["id"]))])
        read.append(Attached(file["filename"], file["content_type"], content))
    return tuple(read)


async def sweep(limit: int = 500) -> int:
    """Remove up to `limit` files that no message needs any more; returns how many."""
    old = Q(needed_until__lt=datetime.now(UTC))
    ids = [row["id"] for row in await Attachment.filter(old).limit(limit).values("id")]
    await _discard(ids, old)
    return len(ids)


# -- inside ----------------------------------------------------------------------------------------------


async def _begin(filename: str, content_type: str) -> Row:
    """Insert a row of size 0 before the upload; if the upload never ends, `sweep` removes the row and the file."""
    return await ATTACHMENTS.insert(
        filename=filename,
        content_type=content_type,
        size=0,
        needed_until=datetime.now(UTC) + UNUSED,
        created_by=actor().user_id,
    )


async def _store(enclosed: Enclosed, content: bytes) -> Row:
    row = await _begin(enclosed.filename, enclosed.content_type)
    try:
        size = await storage().put(_key(row["id"]), content)
        async with unit_of_work():
            await spend(STORED, size)
            await ATTACHMENTS.change(row["id"], {"size": size})
    except BaseException:
        await _discard([row["id"]])
        raise
    return {**{name: row[name] for name in _FACTS}, "id": str(row["id"]), "size": size}


async def _discard(ids: Sequence[UUID], only: Q | None = None) -> None:
    """Delete rows, then their files, so that no row ever names a missing file."""
    rows = Attachment.filter(id__in=list(ids))
    await (rows.filter(only) if only is not None else rows).delete()
    for attachment_id in ids:
        if await ATTACHMENTS.find(id=attachment_id) is None:
            await storage().delete(_key(attachment_id))


def _complaints(filename: str, content_type: str, field: str) -> dict[str, str]:
    """Why a file cannot be attached, by field; {} when it can."""
    try:
        check_attached(filename, content_type)
    except ValueError as error:
        return {field: str(error)}
    return {}


async def _counted(chunks: AsyncIterator[bytes], largest: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        _check_total([size], largest)
        yield chunk


async def _largest() -> int:
    """Bytes of attachments that a message may have: the lower of the deployment's and the plan's limit."""
    value, _ = await limit_value(LARGEST)
    allowed = int(settings(Settings).max_attachments)
    return allowed if value.amount is None else min(allowed, value.amount)


def _check_total(sizes: Iterable[int], largest: int) -> None:
    if sum(sizes) > largest:
        raise PayloadTooLarge(f"The attachments of a message have at most {largest:,} bytes in all.")


def _key(attachment_id: UUID | str) -> str:
    return f"attachments/{attachment_id}"
