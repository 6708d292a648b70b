"""Tables of audit, step 2."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from host.sdk import WordsField
from uuid_utils.compat import uuid7
from tortoise import fields
from tortoise.migrations.constraints import UniqueConstraint


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Chain",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("position", fields.BigIntField()),
                ("hash", fields.CharField(max_length=64)),
                ("pruned_position", fields.BigIntField()),
                ("pruned_hash", fields.CharField(max_length=64)),
                ("sealed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("signature", fields.CharField(max_length=64)),
            ],
            options={"table": "audit_chains", "app": "audit", "unique_together": (("tenant_id",),), "pk_attr": "id"},
            bases=["TenantModel"],
        ),
        ops.AddField(
            model_name="Entry",
            name="erased",
            field=fields.CharField(null=True, max_length=128),
        ),
        ops.AddField(
            model_name="Entry",
            name="hash",
            field=fields.CharField(null=True, max_length=64),
        ),
        ops.AddField(
            model_name="Entry",
            name="is_operator",
            field=fields.BooleanField(default=False, db_default=False),
        ),
        ops.AddField(
            model_name="Entry",
            name="mac",
            field=fields.CharField(null=True, max_length=64),
        ),
        ops.AddField(
            model_name="Entry",
            name="position",
            field=fields.BigIntField(null=True),
        ),
        ops.AddField(
            model_name="Entry",
            name="salt",
            field=fields.CharField(null=True, max_length=32),
        ),
        ops.AddField(
            model_name="Entry",
            name="user_id",
            field=fields.UUIDField(null=True),
        ),
        ops.AddField(
            model_name="Entry",
            name="words",
            field=WordsField(null=True, unique=False),
        ),
        ops.AddConstraint(
            model_name="Entry",
            constraint=UniqueConstraint(fields=("tenant_id", "position"), name=None),
        ),
    ]
