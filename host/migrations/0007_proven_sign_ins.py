"""Tables of host, step 7: whether a provider vouches for a linked address; which key made a key."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("host", "0006_keys_of_people_who_left"), ("tenants", "0001_initial")]

    initial = False

    operations = [
        ops.AddField(
            model_name="OAuthAccount",
            name="email_verified",
            field=fields.BooleanField(default=False, db_default=False),
        ),
        ops.AddField(
            model_name="ApiKey",
            name="parent_id",
            field=fields.UUIDField(null=True),
        ),
        # Linked after the account's address was proved: until now that asked for a provider who vouches for it.
        ops.RunSQL(
            """UPDATE "oauth_accounts" SET "email_verified" = TRUE WHERE EXISTS (SELECT 1 FROM "users"
            WHERE "users"."id" = "oauth_accounts"."user_id"
            AND "users"."email_verified_at" <= "oauth_accounts"."created_at")""",
            reverse_sql="SELECT 1",
        ),
    ]
