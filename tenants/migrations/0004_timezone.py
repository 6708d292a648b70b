"""Tables of tenants, step 4: organisations have a time zone."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_locale")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Tenant",
            name="timezone",
            field=fields.CharField(default="UTC", db_default="UTC", max_length=63),
        ),
    ]
