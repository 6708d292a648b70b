"""Tables of tenants, step 1."""

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
    initial = True

    operations = [
        ops.CreateModel(
            name="Activation",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("plugin", fields.CharField(max_length=63)),
                ("state", fields.CharField(null=True, max_length=20)),
                ("settings", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ("version", fields.IntField(default=1)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={
                "table": "activations",
                "app": "tenants",
                "unique_together": (("tenant_id", "plugin"),),
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="Role",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("name", fields.CharField(max_length=63)),
                ("title", fields.CharField(default="", max_length=200)),
                ("permissions", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("all_permission", fields.BooleanField(default=False)),
                ("built_in", fields.BooleanField(default=False)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={"table": "roles", "app": "tenants", "unique_together": (("tenant_id", "name"),), "pk_attr": "id"},
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="Invitation",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("email", fields.CharField(max_length=254)),
                (
                    "role",
                    fields.ForeignKeyField(
                        "tenants.Role",
                        source_field="role_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("token_hash", fields.CharField(unique=True, max_length=64)),
                ("invited_by", fields.UUIDField(null=True)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("accepted_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={"table": "invitations", "app": "tenants", "pk_attr": "id"},
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="Tenant",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("slug", fields.CharField(unique=True, max_length=63)),
                ("name", fields.CharField(max_length=200)),
                ("status", fields.CharField(default="active", max_length=20)),
                ("status_reason", fields.CharField(default="", max_length=500)),
                ("plan", fields.CharField(max_length=63)),
                ("delete_after", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={"table": "tenants", "app": "tenants", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Domain",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                (
                    "tenant",
                    fields.ForeignKeyField(
                        "tenants.Tenant",
                        source_field="tenant_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("hostname", fields.CharField(unique=True, max_length=253)),
                ("verified_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={"table": "domains", "app": "tenants", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TenantSetting",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("key", fields.CharField(max_length=200)),
                ("value", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={
                "table": "tenant_settings",
                "app": "tenants",
                "unique_together": (("tenant_id", "key"),),
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="User",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("email", fields.CharField(unique=True, max_length=254)),
                ("name", fields.CharField(max_length=200)),
                ("password_hash", fields.CharField(null=True, max_length=255)),
                ("email_verified_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("token_version", fields.IntField(default=1)),
                ("is_operator", fields.BooleanField(default=False)),
                ("settings", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ("version", fields.IntField(default=1)),
                ("disabled_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={"table": "users", "app": "tenants", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Membership",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
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
                (
                    "role",
                    fields.ForeignKeyField(
                        "tenants.Role",
                        source_field="role_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={
                "table": "memberships",
                "app": "tenants",
                "unique_together": (("tenant_id", "user_id"),),
                "indexes": [Index(fields=["user_id"])],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
    ]
