"""Tables of host, step 10: what is spent before it is known how much is used."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from uuid_utils.compat import uuid7
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("host", "0009_sort_keys"), ("tenants", "0004_timezone")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Reservation",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("limit_name", fields.CharField(max_length=127)),
                ("amount", fields.BigIntField()),
                ("since", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("lapses_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "quota_reservations",
                "app": "host",
                "indexes": [Index(fields=["tenant_id", "limit_name", "since"]), Index(fields=["lapses_at"])],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
    ]
