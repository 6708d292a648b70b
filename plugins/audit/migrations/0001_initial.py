"""Tables of audit, step 1."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from uuid_utils.compat import uuid7
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Entry",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("actor_kind", fields.CharField(max_length=20)),
                ("actor_id", fields.UUIDField(null=True)),
                ("actor_label", fields.CharField(max_length=254)),
                ("action", fields.CharField(max_length=200)),
                ("resource_type", fields.CharField(max_length=63)),
                ("resource_id", fields.CharField(max_length=200)),
                ("before", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("after", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("outcome", fields.CharField(max_length=20)),
                ("reason", fields.CharField(max_length=500)),
                ("address", fields.CharField(max_length=64)),
                ("user_agent", fields.CharField(max_length=300)),
                ("request_id", fields.CharField(max_length=128)),
            ],
            options={
                "table": "audit_entries",
                "app": "audit",
                "indexes": [
                    Index(fields=["tenant_id", "at", "id"]),
                    Index(fields=["tenant_id", "actor_id", "at", "id"]),
                    Index(fields=["tenant_id", "action", "at", "id"]),
                    Index(fields=["tenant_id", "resource_type", "resource_id", "at", "id"]),
                ],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
    ]
