"""Tables of messages, their events, batches and attachments."""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from host.sdk import TenantModel


class Status(StrEnum):
    """Where a message is in its life.

    queued: due, or soon. scheduled: for later, by `send_at` or because the rate is spread. sending: in a worker's
    hands. sent: handed to the provider. delivered: the provider says so. deferred: refused for now, tried again by us
    or by the provider. bounced: there is nobody at the address, as the provider said at once or later. complained: the
    provider says so. failed: given up, the reason in `error`. suppressed: nobody it is for may be written to.
    """

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"


WAITING = (Status.QUEUED, Status.SCHEDULED, Status.DEFERRED)
"""With a `due_at`: not in anybody's hands yet, and may be called off."""

OPEN = (*WAITING, Status.SENDING)
"""With a `due_at`: to be delivered by us."""

FINAL = tuple(status for status in Status if status not in OPEN)


class BatchStatus(StrEnum):
    """queued: accepted. running: its messages are being written down and sent. done: nothing of it waits any more."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class Message(TenantModel):
    """One accepted mail to up to 50 recipients; the row stays, its content goes after the tenant's `keep_days`."""

    batch_id = fields.UUIDField(null=True)  # a Batch, which then holds the content; no key: nothing removes batches
    status = fields.CharEnumField(Status, max_length=16, default=Status.QUEUED)
    category = fields.CharField(max_length=63)
    bulk = fields.BooleanField(default=False)  # may be unsubscribed from; one recipient only
    sender = fields.CharField(max_length=600)  # like every address here: "Name <a@example.com>" or "a@example.com"
    to: fields.Field[list[str]] = fields.JSONField(default=list)
    cc: fields.Field[list[str]] = fields.JSONField(default=list)
    bcc: fields.Field[list[str]] = fields.JSONField(default=list)
    reply_to: fields.Field[list[str]] = fields.JSONField(default=list)
    recipients = fields.TextField(default="")  # the bare addresses of to, cc and bcc, a line each: what `?to=` looks in
    subject = fields.CharField(max_length=998, default="")
    text = fields.TextField(default="")
    html = fields.TextField(default="")
    template = fields.CharField(max_length=63, default="")
    template_version = fields.IntField(null=True)  # null: the deployment's or the plugin's own
    locale = fields.CharField(max_length=35, default="")
    variables: fields.Field[dict[str, Any]] = fields.JSONField(default=dict)
    attachments: fields.Field[list[dict[str, Any]]] = fields.JSONField(
        default=list
    )  # {id, filename, content_type, size}
    message_id = fields.CharField(max_length=320)  # RFC 5322 Message-ID with its angle brackets; never changes
    provider = fields.CharField(max_length=63, default="")
    provider_id = fields.CharField(max_length=255, default="")
    attempts = fields.IntField(default=0)  # hand-overs tried and refused for now
    error = fields.TextField(default="")  # why it failed, or was refused for now
    when_limited = fields.CharField(max_length=8, default="refuse")  # "wait": takes its place in the rate at delivery
    handed: fields.Field[list[str]] = fields.JSONField(default=list)  # of several recipients: taken, the rest refused
    charged = fields.IntField(default=0)  # recipients spent from the quota and not given back
    charged_at = fields.DatetimeField(null=True)  # null: never; a past month's quota takes nothing back
    send_at = fields.DatetimeField(null=True)
    due_at = fields.DatetimeField(null=True)  # when we deliver it (again); null: never (any more)
    sent_at = fields.DatetimeField(null=True)
    emptied = fields.BooleanField(default=False)  # its content was removed after `keep_days`
    opens = fields.IntField(default=0)
    clicks = fields.IntField(default=0)
    created_by = fields.UUIDField(null=True)  # null: made by a job or a command
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "mail_messages"
        unique_together = (("tenant_id", "message_id"),)
        indexes = (
            Index(fields=("tenant_id", "created_at", "id")),  # also what `?to=`, `?from=` and `?q=` read along
            Index(fields=("tenant_id", "status", "created_at", "id")),
            Index(fields=("tenant_id", "batch_id", "status", "created_at", "id")),
        )


class Happening(TenantModel):
    """Something that became of a message: sent, deferred, delivered, opened, … in the order of `at`."""

    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField("mail.Message", related_name=False)
    message_id: UUID
    at = fields.DatetimeField()
    kind = fields.CharField(max_length=16)
    recipient = fields.CharField(max_length=320, default="")  # "": all of them, or it does not matter whom
    detail = fields.TextField(default="")
    provider = fields.CharField(max_length=63, default="")
    provider_event = fields.CharField(max_length=255, null=True)  # the provider's id of it, so that it counts once

    class Meta:
        table = "mail_happenings"
        unique_together = (("tenant_id", "provider", "provider_event"),)
        indexes = (
            Index(fields=("tenant_id", "message_id", "at", "id")),
            Index(fields=("tenant_id", "kind", "at")),
        )


class Batch(TenantModel):
    """One content for many recipients, each with their own variables; every recipient becomes a Message."""

    status = fields.CharEnumField(BatchStatus, max_length=16, default=BatchStatus.QUEUED)
    category = fields.CharField(max_length=63)
    bulk = fields.BooleanField(default=True)
    sender = fields.CharField(max_length=600)
    reply_to: fields.Field[list[str]] = fields.JSONField(default=list)
    subject = fields.CharField(max_length=998, default="")
    text = fields.TextField(default="")
    html = fields.TextField(default="")
    template = fields.CharField(max_length=63, default="")
    template_version = fields.IntField(null=True)
    locale = fields.CharField(max_length=35, default="")
    attachments: fields.Field[list[dict[str, Any]]] = fields.JSONField(default=list)
    total = fields.IntField()  # recipients accepted
    expanded = fields.IntField(default=0)  # recipients that are messages by now
    send_at = fields.DatetimeField(null=True)
    emptied = fields.BooleanField(default=False)
    finished_at = fields.DatetimeField(null=True)
    created_by = fields.UUIDField(null=True)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "mail_batches"
        indexes = (
            Index(fields=("tenant_id", "created_at", "id")),
            Index(fields=("tenant_id", "status", "created_at", "id")),
        )


class BatchSlice(TenantModel):
    """Recipients of a batch that are not messages yet; removed in the transaction that makes them so."""

    batch: fields.ForeignKeyRelation[Batch] = fields.ForeignKeyField("mail.Batch", related_name=False)
    batch_id: UUID
    number = fields.IntField()  # position of its first recipient in the batch
    charged = fields.IntField()  # how many of them were spent from the quota
    recipients: fields.Field[list[dict[str, Any]]] = fields.JSONField()  # {to, email, variables, locale, charged}

    class Meta:
        table = "mail_batch_slices"
        unique_together = (("tenant_id", "batch_id", "number"),)


class Attachment(TenantModel):
    """A stored file to be sent along; kept as long as a message that names it may need it."""

    filename = fields.CharField(max_length=255)
    content_type = fields.CharField(max_length=127)
    size = fields.BigIntField()  # bytes
    needed_until = fields.DatetimeField()
    created_by = fields.UUIDField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "mail_attachments"
        indexes = (Index(fields=("tenant_id", "created_at", "id")), Index(fields=("tenant_id", "needed_until")))
