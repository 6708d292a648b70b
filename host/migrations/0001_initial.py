"""Tables of host, step 1."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from uuid_utils.compat import uuid7
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    initial = True

    operations = [
        ops.CreateModel(
            name="ApiKey",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("name", fields.CharField(max_length=200)),
                ("prefix", fields.CharField(max_length=64)),
                ("secret_hash", fields.CharField(max_length=64)),
                ("permissions", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("made_by", fields.UUIDField(null=True)),
                ("expires_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("last_used_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("revoked_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={
                "table": "api_keys",
                "app": "host",
                "indexes": [Index(fields=["tenant_id", "created_at"])],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="IdempotencyRecord",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("actor", fields.CharField(max_length=80)),
                ("route", fields.CharField(max_length=300)),
                ("key", fields.CharField(max_length=255)),
                ("request_hash", fields.CharField(max_length=64)),
                ("claim", fields.UUIDField()),
                ("claimed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("status", fields.SmallIntField(null=True)),
                ("headers", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("body", fields.BinaryField(null=True)),
                ("expires_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "idempotency_records",
                "app": "host",
                "unique_together": (("tenant_id", "actor", "route", "key"),),
                "pk_attr": "id",
            },
            bases=["TenantModel", "KeptAnswer"],
        ),
        ops.CreateModel(
            name="Job",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("task", fields.CharField(max_length=200)),
                ("plugin", fields.CharField(max_length=63)),
                ("tenant_id", fields.UUIDField(null=True)),
                ("arguments", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ("origin", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ("state", fields.CharField(default="queued", max_length=16)),
                ("priority", fields.SmallIntField(default=0)),
                ("key", fields.CharField(null=True, unique=True, max_length=255)),
                ("run_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("attempts", fields.IntField(default=0)),
                ("tries", fields.IntField(default=0)),
                ("lease_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("worker", fields.CharField(null=True, max_length=64)),
                ("error", fields.TextField(default="", unique=False)),
                ("progress", fields.FloatField(default=0.0)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("started_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("finished_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "jobs",
                "app": "host",
                "indexes": [
                    Index(fields=["state", "priority", "run_at"], name="jobs_due"),
                    Index(fields=["state", "lease_until"], name="jobs_lease"),
                    Index(fields=["state", "finished_at"], name="jobs_finished"),
                    Index(fields=["tenant_id", "plugin", "state"], name="jobs_owner"),
                ],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OAuthAccount",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                (
                    "user",
                    fields.ForeignKeyField(
                        "tenants.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("provider", fields.CharField(max_length=63)),
                ("subject", fields.CharField(max_length=255)),
                ("email", fields.CharField(default="", max_length=254)),
                ("last_used_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={
                "table": "oauth_accounts",
                "app": "host",
                "unique_together": (("provider", "subject"),),
                "indexes": [Index(fields=["user_id"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OAuthState",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("provider", fields.CharField(max_length=63)),
                ("state_hash", fields.CharField(unique=True, max_length=64)),
                ("browser_hash", fields.CharField(max_length=64)),
                ("nonce", fields.CharField(max_length=64)),
                ("code_verifier", fields.CharField(max_length=128)),
                ("return_to", fields.CharField(default="", max_length=500)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={
                "table": "oauth_states",
                "app": "host",
                "indexes": [Index(fields=["expires_at"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OneTimeToken",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                (
                    "user",
                    fields.ForeignKeyField(
                        "tenants.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("purpose", fields.CharField(max_length=20)),
                ("token_hash", fields.CharField(unique=True, max_length=64)),
                ("email", fields.CharField(max_length=254)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("used_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={
                "table": "one_time_tokens",
                "app": "host",
                "indexes": [Index(fields=["user_id", "purpose"]), Index(fields=["expires_at"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PersonalIdempotencyRecord",
            fields=[
                ("actor", fields.CharField(max_length=80)),
                ("route", fields.CharField(max_length=300)),
                ("key", fields.CharField(max_length=255)),
                ("request_hash", fields.CharField(max_length=64)),
                ("claim", fields.UUIDField()),
                ("claimed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("status", fields.SmallIntField(null=True)),
                ("headers", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("body", fields.BinaryField(null=True)),
                ("expires_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
            ],
            options={
                "table": "personal_idempotency_records",
                "app": "host",
                "unique_together": (("actor", "route", "key"),),
                "pk_attr": "id",
            },
            bases=["Model", "KeptAnswer"],
        ),
        ops.CreateModel(
            name="QuotaUse",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("limit_name", fields.CharField(max_length=127)),
                ("window_start", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("used", fields.BigIntField(default=0)),
            ],
            options={
                "table": "quota_uses",
                "app": "host",
                "unique_together": (("tenant_id", "limit_name", "window_start"),),
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="Session",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                (
                    "user",
                    fields.ForeignKeyField(
                        "tenants.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("tenant_default", fields.UUIDField(null=True)),
                ("token_version", fields.IntField()),
                ("generation", fields.IntField(default=1)),
                ("salt", fields.CharField(max_length=64)),
                ("rotated_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("user_agent", fields.CharField(default="", max_length=400)),
                ("address", fields.CharField(default="", max_length=64)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("ended_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("end_reason", fields.CharField(default="", max_length=40)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("last_used_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={
                "table": "sessions",
                "app": "host",
                "indexes": [Index(fields=["user_id", "ended_at"]), Index(fields=["expires_at"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
    ]
