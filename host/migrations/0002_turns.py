"""Tables of host, step 2: jobs that wait for their time have a state of their own, so whose turn it is needs no
clock."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("host", "0001_initial"), ("tenants", "0001_initial")]

    initial = False

    operations = [
        ops.RunSQL(
            """UPDATE "jobs" SET "state" = 'scheduled' WHERE "state" = 'queued' AND "run_at" > CURRENT_TIMESTAMP""",
            reverse_sql="""UPDATE "jobs" SET "state" = 'queued' WHERE "state" = 'scheduled'""",
        ),
        ops.RemoveIndex(
            model_name="Job",
            name="jobs_due",
            fields=None,
        ),
        ops.AddIndex(
            model_name="Job",
            index=Index(fields=["state", "priority", "tenant_id", "run_at"], name="jobs_turn"),
        ),
        ops.AddIndex(
            model_name="Job",
            index=Index(fields=["state", "run_at"], name="jobs_time"),
        ),
    ]
