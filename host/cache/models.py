"""The database model of a pending cache invalidation, deleted once Redis has been told."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model
from uuid_utils.compat import uuid7


class CacheInvalidation(Model):
    """A change to what is cached, written in the transaction of the change and deleted once Redis was told."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    tenants: fields.JSONField[list[str]] = fields.JSONField(default=list)  # ids
    users: fields.JSONField[list[str]] = fields.JSONField(default=list)  # ids
    tags: fields.JSONField[list[str]] = fields.JSONField(null=True)  # keys of dropped tags in Redis
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "cache_invalidations"
