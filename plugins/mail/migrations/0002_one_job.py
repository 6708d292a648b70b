"""Tables of mail, step 2: a message has one job, of the message's own id, instead of turns."""

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
