"""Entry: one action, as it was recorded."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.indexes import Index

from host.sdk import TenantModel


class Entry(TenantModel):
    """One thing done, denied or failed in a tenant. Never changed after it is written."""

    at = fields.DatetimeField()
    actor_kind = fields.CharField(max_length=20)
    actor_id = fields.UUIDField(null=True)
    actor_label = fields.CharField(max_length=254)
    action = fields.CharField(max_length=200)
    resource_type = fields.CharField(max_length=63)
    resource_id = fields.CharField(max_length=200)
    before: fields.Field[dict[str, Any]] = fields.JSONField()  # the changed fields only
    after: fields.Field[dict[str, Any]] = fields.JSONField()
    outcome = fields.CharField(max_length=20)  # succeeded | denied | failed
    reason = fields.CharField(max_length=500)  # why it was denied or failed
    address = fields.CharField(max_length=64)
    user_agent = fields.CharField(max_length=300)
    request_id = fields.CharField(max_length=128)

    class Meta:
        table = "audit_entries"
        indexes = (
            Index(fields=("tenant_id", "at", "id")),
            Index(fields=("tenant_id", "actor_id", "at", "id")),
            Index(fields=("tenant_id", "action", "at", "id")),
            Index(fields=("tenant_id", "resource_type", "resource_id", "at", "id")),
        )
