"""Tables of host, step 3."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("host", "0002_turns"), ("tenants", "0001_initial")]

    initial = False

    operations = [
        ops.CreateModel(
            name="PausedTask",
            fields=[
                ("task", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=200)),
                ("reason", fields.TextField(unique=False)),
                ("paused_by", fields.CharField(max_length=320)),
                ("paused_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={"table": "paused_tasks", "app": "host", "pk_attr": "task"},
            bases=["Model"],
        ),
    ]
