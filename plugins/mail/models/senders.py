"""Tables of sender addresses and of tenants' own mail providers."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.indexes import Index

from host.sdk import TenantModel


class Sender(TenantModel):
    """An address that the tenant wants to write from; allowed once `confirmed_at` is set, by a mailed code."""

    email = fields.CharField(max_length=254)  # as `Address.email`, lower case: one sender, however it is written
    name = fields.CharField(max_length=200, default="")
    confirmed_at = fields.DatetimeField(null=True)
    code_hash = fields.CharField(max_length=200, default="")  # scrypt, salted; "" when there is no valid code
    code_expires_at = fields.DatetimeField(null=True)
    code_tries = fields.IntField(default=0)  # attempts since the code was mailed
    code_error = fields.CharField(max_length=500, default="")  # why the last code could not be mailed
    created_by = fields.UUIDField(null=True)  # null: made by a job or a command
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "mail_senders"
        unique_together = (("tenant_id", "email"),)
        indexes = (Index(fields=("tenant_id", "created_at", "id")), Index(fields=("tenant_id", "email", "id")))


class ProviderAccount(TenantModel):
    """A tenant's own mail provider, one at most; all its mail is then sent through it."""

    provider = fields.CharField(max_length=20)
    settings: fields.Field[dict[str, Any]] = fields.JSONField(default=dict)  # what may be shown
    secrets = fields.TextField()  # encrypted JSON object of secret settings; never shown
    created_by = fields.UUIDField(null=True)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "mail_provider_accounts"
        unique_together = (("tenant_id",),)
