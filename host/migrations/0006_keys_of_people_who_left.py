"""Tables of host, step 6: keys whose maker has left end for ever, as those of whoever leaves from now on."""

# ruff: noqa: RUF012 - as `tenantry migrate --make` writes them

from tortoise import migrations
from tortoise.migrations import operations as ops

_END = (
    'UPDATE "api_keys" SET "revoked_at" = CURRENT_TIMESTAMP WHERE "revoked_at" IS NULL AND "made_by" IS NOT NULL '
    'AND NOT EXISTS (SELECT 1 FROM "memberships" WHERE "memberships"."tenant_id" = "api_keys"."tenant_id" '
    'AND "memberships"."user_id" = "api_keys"."made_by")'
)


class Migration(migrations.Migration):
    dependencies = [("host", "0005_use_by_time"), ("tenants", "0001_initial")]

    initial = False

    operations = [ops.RunSQL(_END, reverse_sql=ops.RunSQL.noop)]
