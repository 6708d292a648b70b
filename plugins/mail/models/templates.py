"""Tables of mail templates that tenants write, with their versions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from host.sdk import TenantModel


class Template(TenantModel):
    """A template that a tenant has written, in one or more locales.

    in_force: locale -> number of the TemplateVersion in use; empty once deleted. version: the number of the latest
    change of any kind, so that no number is used twice.
    """

    name = fields.CharField(max_length=63)
    in_force: fields.Field[dict[str, int]] = fields.JSONField(default=dict)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "mail_templates"
        unique_together = (("tenant_id", "name"),)
        indexes = (Index(fields=("tenant_id", "created_at", "id")),)


class TemplateVersion(TenantModel):
    """One version of a template; never changes. Either mjml or html; variables: {name, summary, example, required}."""

    template: fields.ForeignKeyRelation[Template] = fields.ForeignKeyField("mail.Template", related_name=False)
    template_id: UUID
    number = fields.IntField()
    locale = fields.CharField(max_length=35)
    subject = fields.TextField()
    mjml = fields.TextField(default="")
    html = fields.TextField(default="")
    text = fields.TextField(default="")
    variables: fields.Field[list[dict[str, Any]]] = fields.JSONField(default=list)
    created_by = fields.UUIDField(null=True)  # null: written by a job or a command
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "mail_template_versions"
        unique_together = (("tenant_id", "template_id", "number"),)
