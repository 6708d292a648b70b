"""Tables of host, step 5: use of quotas is kept by when it happened, so a row says since when, not of which window.

What a renewing quota has used stays at the beginning of its window; what a standing one has, in 1970.
"""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("host", "0004_cache_invalidations"), ("tenants", "0001_initial")]

    initial = False

    operations = [
        ops.RenameField(model_name="QuotaUse", old_name="window_start", new_name="since"),
        ops.AlterModelOptions(
            name="QuotaUse",
            options={
                "table": "quota_uses",
                "app": "host",
                "unique_together": (("tenant_id", "limit_name", "since"),),
                "pk_attr": "id",
            },
        ),
    ]
