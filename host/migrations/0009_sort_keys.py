"""Tables of host, step 9: what names are ordered by, whatever the database's collation."""

# ruff: noqa: RUF012

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("host", "0008_channels")]

    initial = False

    operations = [
        ops.AddField(
            model_name="ApiKey",
            name="name_key",
            field=fields.CharField(default="", db_default="", max_length=400),
        ),
    ]
