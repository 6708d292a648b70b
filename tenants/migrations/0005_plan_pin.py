"""Tables of tenants, step 5: an operator's choice of the plan is a pin, beside what the plan source chose."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_timezone")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Tenant",
            name="plan_why",
            field=fields.CharField(default="", db_default="", max_length=500),
        ),
        ops.AddField(
            model_name="Tenant",
            name="plan_pinned",
            field=fields.BooleanField(default=False, db_default=False),
        ),
        ops.AddField(
            model_name="Tenant",
            name="source_plan",
            field=fields.CharField(null=True, max_length=63),
        ),
        ops.AddField(
            model_name="Tenant",
            name="source_why",
            field=fields.CharField(default="", db_default="", max_length=500),
        ),
    ]
