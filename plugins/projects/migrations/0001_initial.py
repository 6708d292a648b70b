"""Tables of projects, step 1."""

# ruff: noqa - written by `tenantry migrate --make`

from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from ..models import Priority, PriorityField
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from uuid_utils.compat import uuid7
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Project",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                ("name", fields.CharField(max_length=200)),
                ("slug", fields.CharField(max_length=63)),
                ("description", fields.TextField(default="", unique=False)),
                ("status", fields.CharField(default="active", max_length=20)),
                ("created_by", fields.UUIDField(null=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={
                "table": "projects_projects",
                "app": "projects",
                "unique_together": (("tenant_id", "slug"),),
                "indexes": [
                    Index(fields=["tenant_id", "created_at", "id"]),
                    Index(fields=["tenant_id", "updated_at", "id"]),
                    Index(fields=["tenant_id", "name", "id"]),
                    Index(fields=["tenant_id", "status", "created_at", "id"]),
                ],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="ProjectMember",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                (
                    "project",
                    fields.ForeignKeyField(
                        "projects.Project",
                        source_field="project_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("user_id", fields.UUIDField()),
                ("role", fields.CharField(default="member", max_length=20)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={
                "table": "projects_members",
                "app": "projects",
                "unique_together": (("tenant_id", "project_id", "user_id"),),
                "indexes": [
                    Index(fields=["tenant_id", "project_id", "created_at", "id"]),
                    Index(fields=["tenant_id", "user_id", "created_at", "id"]),
                ],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
        ops.CreateModel(
            name="Task",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ("tenant_id", fields.UUIDField()),
                (
                    "project",
                    fields.ForeignKeyField(
                        "projects.Project",
                        source_field="project_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("title", fields.CharField(max_length=200)),
                ("description", fields.TextField(default="", unique=False)),
                ("status", fields.CharField(default="todo", max_length=20)),
                ("priority", PriorityField(default=Priority.NORMAL, generated=False, null=False, unique=False)),
                ("assignee_id", fields.UUIDField(null=True)),
                ("due_on", fields.DateField(null=True)),
                ("tags", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("created_by", fields.UUIDField(null=True)),
                ("overdue_announced_for", fields.DateField(null=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ("updated_at", fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={
                "table": "projects_tasks",
                "app": "projects",
                "indexes": [
                    Index(fields=["tenant_id", "created_at", "id"]),
                    Index(fields=["tenant_id", "updated_at", "id"]),
                    Index(fields=["tenant_id", "due_on", "id"]),
                    Index(fields=["tenant_id", "priority", "id"]),
                    Index(fields=["tenant_id", "title", "id"]),
                    Index(fields=["tenant_id", "project_id", "created_at", "id"]),
                    Index(fields=["tenant_id", "assignee_id", "created_at", "id"]),
                    Index(fields=["tenant_id", "status", "created_at", "id"]),
                    Index(fields=["tenant_id", "status", "due_on", "id"]),
                ],
                "pk_attr": "id",
            },
            bases=["TenantModel"],
        ),
    ]
