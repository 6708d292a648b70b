"""Tables of metrics, step 1."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from uuid_utils.compat import uuid7
from tortoise import fields


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="DailyUse",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("day", fields.DateField()),
                ("succeeded", fields.BigIntField(default=0)),
                ("refused", fields.BigIntField(default=0)),
                ("failed", fields.BigIntField(default=0)),
                ("seconds", fields.FloatField(default=0.0)),
                ("counts", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("used", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ("batch", fields.CharField(default="", max_length=36)),
            ],
            options={
                "table": "metrics_daily_uses",
                "app": "metrics",
                "unique_together": (("tenant_id", "day"),),
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
    ]
