"""Models for trying tenant isolation: tenants' rows linked in every way, and a plain model that leads to them."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from tenants.models import User
from tenants.scoping import TenantModel


class Project(TenantModel):
    name = fields.CharField(max_length=50)
    rank = fields.IntField(default=0)

    class Meta:
        table = "sample_projects"
        unique_together = (("tenant_id", "name"),)


class Task(TenantModel):
    title = fields.CharField(max_length=50)
    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField("sample.Project", related_name="tasks")
    parent: fields.ForeignKeyNullableRelation[Task] = fields.ForeignKeyField(
        "sample.Task", related_name="children", null=True
    )
    person: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "tenants.User", related_name=False, null=True
    )
    tasks: fields.ReverseRelation[Task]

    class Meta:
        table = "sample_tasks"


class Note(TenantModel):
    text = fields.CharField(max_length=50)
    task: fields.OneToOneRelation[Task] = fields.OneToOneField("sample.Task", related_name="note")

    class Meta:
        table = "sample_notes"


class Badge(Model):
    """A plain model, as the host may have, that points at a tenant's row."""

    id = fields.IntField(primary_key=True)
    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField("sample.Project", related_name="badges")

    class Meta:
        table = "sample_badges"
