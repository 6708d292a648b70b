"""Tables of teams, step 1."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from uuid_utils.compat import uuid7
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Team",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("name", fields.CharField(max_length=200)),
                ("name_key", fields.CharField(default="", db_default="", max_length=400)),
                ("slug", fields.CharField(max_length=63)),
                ("description", fields.TextField(default="", unique=False)),
                ("parent_id", fields.UUIDField(null=True)),
                ("visibility", fields.CharField(default="visible", max_length=20)),
                ("role_id", fields.UUIDField(null=True)),
                ("created_by", fields.UUIDField(null=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={
                "table": "teams_teams",
                "app": "teams",
                "unique_together": (("tenant_id", "slug"),),
                "indexes": [
                    Index(fields=["tenant_id", "created_at", "id"]),
                    Index(fields=["tenant_id", "name_key", "id"]),
                    Index(fields=["tenant_id", "parent_id", "created_at", "id"]),
                    Index(fields=["tenant_id", "role_id"]),
                ],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="TeamClosure",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                (
                    "ancestor",
                    fields.ForeignKeyField(
                        "teams.Team",
                        source_field="ancestor_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "descendant",
                    fields.ForeignKeyField(
                        "teams.Team",
                        source_field="descendant_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("depth", fields.IntField()),
            ],
            options={
                "table": "teams_closure",
                "app": "teams",
                "unique_together": (("tenant_id", "descendant_id", "ancestor_id"),),
                "indexes": [Index(fields=["tenant_id", "ancestor_id", "depth"])],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="TeamMember",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                (
                    "team",
                    fields.ForeignKeyField(
                        "teams.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("user_id", fields.UUIDField()),
                ("principal", fields.CharField(max_length=100)),
                ("role", fields.CharField(default="member", max_length=20)),
                ("ends_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("added_by", fields.UUIDField(null=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={
                "table": "teams_members",
                "app": "teams",
                "unique_together": (("tenant_id", "team_id", "user_id"),),
                "indexes": [
                    Index(fields=["tenant_id", "team_id", "created_at", "id"]),
                    Index(fields=["tenant_id", "user_id", "team_id"]),
                    Index(fields=["tenant_id", "principal", "team_id"]),
                    Index(fields=["tenant_id", "ends_at"]),
                ],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
    ]
