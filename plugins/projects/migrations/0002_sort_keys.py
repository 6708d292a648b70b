"""Tables of projects, step 2: sort keys of names, independent of the database's collation."""

# ruff: noqa: RUF012

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("projects", "0001_initial")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Project",
            name="name_key",
            field=fields.CharField(default="", db_default="", max_length=400),
        ),
        ops.RemoveIndex(model_name="Project", fields=["tenant_id", "name", "id"]),
        ops.AddIndex(model_name="Project", index=Index(fields=["tenant_id", "name_key", "id"])),
        ops.AddField(
            model_name="Task",
            name="title_key",
            field=fields.CharField(default="", db_default="", max_length=400),
        ),
        ops.RemoveIndex(model_name="Task", fields=["tenant_id", "title", "id"]),
        ops.AddIndex(model_name="Task", index=Index(fields=["tenant_id", "title_key", "id"])),
    ]
