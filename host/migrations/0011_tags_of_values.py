"""Tables of host, step 11: a change may outdate computed values by their tags."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [
        ("host", "0010_reservations"),
        ("tenants", "0001_initial"),
        ("tenants", "0002_one_invitation_per_address"),
        ("tenants", "0003_locale"),
        ("tenants", "0004_timezone"),
    ]

    initial = False

    operations = [
        ops.AddField(
            model_name="CacheInvalidation",
            name="tags",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
    ]
