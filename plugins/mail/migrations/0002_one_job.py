"""Migration 2 of mail: drop the `turn` column; each message has one job, with the message's id."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("mail", "0001_initial")]

    initial = False

    operations = [
        ops.RemoveField(
            model_name="Message",
            name="turn",
        ),
    ]
