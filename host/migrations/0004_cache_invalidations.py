"""Tables of host, step 4."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from uuid_utils.compat import uuid7
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("host", "0003_paused_tasks"), ("tenants", "0001_initial")]

    initial = False

    operations = [
        ops.CreateModel(
            name="CacheInvalidation",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenants", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("users", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={"table": "cache_invalidations", "app": "host", "pk_attr": "id"},
            bases=["Model"],
        ),
    ]
