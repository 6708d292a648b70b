"""Tables of projects, step 3: projects for their members only, and what each member stands for."""

# ruff: noqa: RUF012

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("projects", "0002_sort_keys")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Project",
            name="visibility",
            field=fields.CharField(default="organisation", db_default="organisation", max_length=20),
        ),
        ops.AddField(
            model_name="ProjectMember",
            name="principal",
            field=fields.CharField(default="", db_default="", max_length=100),
        ),
        ops.RunSQL("UPDATE projects_members SET principal = 'user:' || user_id", reverse_sql=ops.RunSQL.noop),
        ops.AddIndex(model_name="ProjectMember", index=Index(fields=["tenant_id", "principal", "project_id"])),
    ]
