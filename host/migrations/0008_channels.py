"""Tables of host, step 8: jobs know the channel that they wait for."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.indexes import Index
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("host", "0007_proven_sign_ins"), ("tenants", "0001_initial")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Job",
            name="channel",
            field=fields.CharField(default="", db_default="", max_length=100),
        ),
        ops.RemoveIndex(
            model_name="Job",
            name="jobs_turn",
            fields=None,
        ),
        ops.AddIndex(
            model_name="Job",
            index=Index(fields=["state", "channel", "priority", "tenant_id", "run_at"], name="jobs_next"),
        ),
    ]
