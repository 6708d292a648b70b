"""Database tables of the answers kept for requests that carry an Idempotency-Key."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model
from uuid_utils.compat import uuid7

from tenants.scoping import TenantModel


class KeptAnswer:
    """The columns of both tables: the actor, route and key of a request, and its answer once there is one."""

    actor = fields.CharField(max_length=80)  # "user:<id>", "api_key:<id>"
    route = fields.CharField(max_length=300)  # "POST /projects/<uuid:project_id>/tasks"
    key = fields.CharField(max_length=255)  # HMAC of the client's key: 64 hexadecimal digits
    request_hash = fields.CharField(max_length=64)  # SHA-256 of path, query, headers and body
    claim = fields.UUIDField()  # the attempt that holds the key: a late one must not overwrite its successor's answer
    claimed_at = fields.DatetimeField()
    status = fields.SmallIntField(null=True)  # null: still running
    headers: fields.JSONField[list[list[str]]] = fields.JSONField(default=list)  # [[name, value], …]
    body = fields.BinaryField(null=True)  # encrypted
    expires_at = fields.DatetimeField(db_index=True)


class IdempotencyRecord(TenantModel, KeptAnswer):
    """One key used on a route inside an organisation."""

    class Meta:
        table = "idempotency_records"
        unique_together = (("tenant_id", "actor", "route", "key"),)


class PersonalIdempotencyRecord(Model, KeptAnswer):
    """One key used on a route outside any organisation, such as `POST /tenants`."""

    id = fields.UUIDField(primary_key=True, default=uuid7)

    class Meta:
        table = "personal_idempotency_records"
        unique_together = (("actor", "route", "key"),)
