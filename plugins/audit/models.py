"""Tables of the audit log: `Entry`, one recorded action, and `Chain`, the head of a tenant's hash chain."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.indexes import Index

from host.sdk import TenantModel, WordsField


class Entry(TenantModel):
    """One action that succeeded, was denied or failed; only sealing, erasure and retention change it afterwards."""

    at = fields.DatetimeField()
    actor_kind = fields.CharField(max_length=20)
    actor_id = fields.UUIDField(null=True)
    actor_label = fields.CharField(max_length=254)
    user_id = fields.UUIDField(null=True)  # the person: the actor, who made the key, in whose name the job runs
    is_operator = fields.BooleanField(default=False, db_default=False)  # an operator of the deployment caused it
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
    salt = fields.CharField(max_length=32, null=True)  # opens the commitment to the personal fields
    erased = fields.CharField(max_length=128, null=True)  # commitment and proof, once the personal fields are erased
    mac = fields.CharField(max_length=64, null=True)  # signs the entry from the moment it is written
    position = fields.BigIntField(null=True)  # in the chain, from 1; null until it is sealed
    hash = fields.CharField(max_length=64, null=True)  # binds it to that position and to every entry before it
    words = WordsField(null=True)  # for full-text search; written when sealing, so that recording stays fast

    class Meta:
        table = "audit_entries"
        unique_together = (("tenant_id", "position"),)
        indexes = (
            Index(fields=("tenant_id", "at", "id")),
            Index(fields=("tenant_id", "actor_id", "at", "id")),
            Index(fields=("tenant_id", "action", "at", "id")),
            Index(fields=("tenant_id", "resource_type", "resource_id", "at", "id")),
        )


class Chain(TenantModel):
    """The head of a tenant's chain; sealing and pruning lock this row, so that a chain has one end.

    pruned: the last position whose entry was removed at the end of its time, with its hash; 0 for none.
    """

    position = fields.BigIntField()
    hash = fields.CharField(max_length=64)
    pruned_position = fields.BigIntField()
    pruned_hash = fields.CharField(max_length=64)
    sealed_at = fields.DatetimeField()
    signature = fields.CharField(max_length=64)  # of all of the above
    stored_position = fields.BigIntField(default=0, db_default=0)  # of the checkpoint last stored outside the database

    class Meta:
        table = "audit_chains"
        unique_together = (("tenant_id",),)
