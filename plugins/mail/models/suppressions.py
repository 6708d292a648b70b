"""Table of addresses that a tenant sends no mail to, with the reason."""

from __future__ import annotations

from enum import StrEnum

from tortoise import fields
from tortoise.indexes import Index

from host.sdk import TenantModel


class Reason(StrEnum):
    """bounce: the address does not exist. complaint: its owner reported spam. manual: added by hand."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"


class Suppression(TenantModel):
    """One address, lower case, once per tenant; the first reason stays."""

    address = fields.CharField(max_length=254)
    reason = fields.CharEnumField(Reason, max_length=20)
    detail = fields.CharField(max_length=500, default="")
    message_id = fields.UUIDField(null=True)  # the message that caused it; may no longer exist
    created_by = fields.UUIDField(null=True)  # null: added by provider feedback
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "mail_suppressions"
        unique_together = (("tenant_id", "address"),)
        indexes = (
            Index(fields=("tenant_id", "created_at", "id")),
            Index(fields=("tenant_id", "reason", "created_at", "id")),
        )
