"""Tables of tenants, step 2: at most one invitation per address, gone when it is accepted."""

# ruff: noqa: RUF012 - as `tenantry migrate --make` writes them

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import UniqueConstraint

_SETTLE = (
    'DELETE FROM "invitations" WHERE "accepted_at" IS NOT NULL',
    'DELETE FROM "invitations" WHERE EXISTS (SELECT 1 FROM "invitations" AS "newer" WHERE "newer"."tenant_id" = '
    '"invitations"."tenant_id" AND "newer"."email" = "invitations"."email" AND "newer"."id" > "invitations"."id")',
)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    initial = False

    operations = [
        *(ops.RunSQL(sql, reverse_sql=ops.RunSQL.noop) for sql in _SETTLE),
        ops.RemoveField(model_name="Invitation", name="accepted_at"),
        ops.AddConstraint(
            model_name="Invitation",
            constraint=UniqueConstraint(fields=("tenant_id", "email"), name=None),
        ),
    ]
