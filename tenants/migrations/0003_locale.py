"""Tables of tenants, step 3: people have a language."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_one_invitation_per_address")]

    initial = False

    operations = [
        ops.AddField(
            model_name="User",
            name="locale",
            field=fields.CharField(default="", db_default="", max_length=35),
        ),
    ]
