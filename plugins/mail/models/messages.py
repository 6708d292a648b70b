"""Tables of messages, their events, batches and attachments."""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from host.sdk import TenantModel


class Status(StrEnum):
    """The status of a message.

    queued: due now or soon. scheduled: for later, by `send_at` or because of the rate limit. sending: being delivered
    by a worker. sent: handed to the provider. delivered: the provider reported it. deferred: refused temporarily, tried
    again by us or by the provider. bounced: the provider says the address does not exist. complained: a recipient
    reported it as spam. failed: given up, the reason in `error`. suppressed: all recipients are suppressed or have
    unsubscribed.
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
"""Statuses that, with a `due_at`, wait for a worker and can be cancelled."""

OPEN = (*WAITING, Status.SENDING)
"""Statuses that, with a `due_at`, are still to be delivered."""

FINAL = tuple(status for status in Status if status not in OPEN)


class BatchStatus(StrEnum):
    """queued: accepted. running: messages are created and sent. done: no message waits to be sent any more."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class Message(TenantModel):
    """One accepted message to up to 50 recipients; the row stays, its content is removed after `keep_days` days."""

    # batch_id: a Batch, which then holds the content; no foreign key, since batches are never removed.
    batch_id = fields.UUIDField(null=True)
    status = fields.CharEnumField(Status, max_length=16, default=Status.QUEUED)
    category = fields.CharField(max_length=63)
    bulk = fields.BooleanField(default=False)  # may be unsubscribed from; one recipient only
    sender = fields.CharField(max_length=600)  # like every address here: "Name <a@example.com>" or "a@example.com"
    to: fields.Field[list[str]] = fields.JSONField(default=list)
    cc: fields.Field[list[str]] = fields.JSONField(default=list)
    bcc: fields.Field[list[str]] = fields.JSONField(default=list)
    reply_to: fields.Field[list[str]] = fields.JSONField(default=list)
    recipients = fields.TextField(default="")  # bare addresses of to, cc and bcc, one per line; for `?to=`
    subject = fields.CharField(max_length=998, default="")
    text = fields.TextField(default="")
    html = fields.TextField(default="")
    template = fields.CharField(max_length=63, default="")
    template_version = fields.IntField(null=True)  # null: a template of the deployment or the plugin
    locale = fields.CharField(max_length=35, default="")
    variables: fields.Field[dict[str, Any]] = fields.JSONField(default=dict)
    attachments: fields.Field[list[dict[str, Any]]] = fields.JSONField(
        default=list
    )  # {id, filename, content_type, size}
    message_id = fields.CharField(max_length=320)  # RFC 5322 Message-ID with its angle brackets; never changes
    provider = fields.CharField(max_length=63, default="")
    provider_id = fields.CharField(max_length=255, default="")
    attempts = fields.IntField(default=0)  # deliveries tried that failed temporarily
    error = fields.TextField(default="")  # why it failed or was deferred
    when_limited = fields.CharField(max_length=8, default="refuse")  # "wait": the rate limit is applied at delivery
    handed: fields.Field[list[str]] = fields.JSONField(default=list)  # taken recipients when others were refused
    charged = fields.IntField(default=0)  # recipients charged to the quota and not refunded
    charged_at = fields.DatetimeField(null=True)  # null: never; refunds go to the period it was charged in
    send_at = fields.DatetimeField(null=True)
    due_at = fields.DatetimeField(null=True)  # when it is delivered (again); null: never (any more)
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
            Index(fields=("tenant_id", "created_at", "id")),  # also for `?to=`, `?from=` and `?q=`
            Index(fields=("tenant_id", "status", "created_at", "id")),
            Index(fields=("tenant_id", "batch_id", "status", "created_at", "id")),
        )


class Happening(TenantModel):
    """An event of a message: sent, deferred, delivered, opened, … in the order of `at`."""

    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField("mail.Message", related_name=False)
    message_id: UUID
    at = fields.DatetimeField()
    kind = fields.CharField(max_length=16)
    recipient = fields.CharField(max_length=320, default="")  # "": all of them, or unknown
    detail = fields.TextField(default="")
    provider = fields.CharField(max_length=63, default="")
    provider_event = fields.CharField(max_length=255, null=True)  # the provider's id of it, recorded once

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
    expanded = fields.IntField(default=0)  # recipients that have become messages
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
    """Recipients of a batch that are not messages yet; removed in the transaction that creates the messages."""

    batch: fields.ForeignKeyRelation[Batch] = fields.ForeignKeyField("mail.Batch", related_name=False)
    batch_id: UUID
    number = fields.IntField()  # position of its first recipient in the batch
    charged = fields.IntField()  # how many of them were charged to the quota
    recipients: fields.Field[list[dict[str, Any]]] = fields.JSONField()  # {to, email, variables, locale, charged}

    class Meta:
        table = "mail_batch_slices"
        unique_together = (("tenant_id", "batch_id", "number"),)


class Attachment(TenantModel):
    """A stored attachment; kept as long as a message that names it may need it."""

    filename = fields.CharField(max_length=255)
    content_type = fields.CharField(max_length=127)
    size = fields.BigIntField()  # bytes
    needed_until = fields.DatetimeField()
    created_by = fields.UUIDField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "mail_attachments"
        indexes = (Index(fields=("tenant_id", "created_at", "id")), Index(fields=("tenant_id", "needed_until")))
