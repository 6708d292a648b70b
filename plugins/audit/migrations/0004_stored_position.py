"""Tables of audit, step 4: the position of the last stored checkpoint, so that a missing one is noticed."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_search")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Chain",
            name="stored_position",
            field=fields.BigIntField(default=0, db_default=0),
        ),
    ]
