"""The database models of tenants, domains, users, memberships, roles, invitations, activations and settings."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.models import Model
from uuid_utils.compat import uuid7

from tenants.scoping import TenantModel


class TenantStatus(StrEnum):
    """active: open. suspended: members get 403 TENANT_SUSPENDED. deleting: closed, purged after the grace."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"


class Tenant(Model):
    """An organisation: the unit of isolation, of the plan and of activated plugins."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    slug = fields.CharField(max_length=63, unique=True)
    name = fields.CharField(max_length=200)
    status = fields.CharEnumField(TenantStatus, max_length=20, default=TenantStatus.ACTIVE)
    status_reason = fields.CharField(max_length=500, default="")
    plan = fields.CharField(max_length=63)
    plan_why = fields.CharField(max_length=500, default="", db_default="")
    plan_pinned = fields.BooleanField(default=False, db_default=False)  # an operator chose it; the source waits
    source_plan = fields.CharField(max_length=63, null=True)  # what the plan source chose last, in force or not
    source_why = fields.CharField(max_length=500, default="", db_default="")
    timezone = fields.CharField(max_length=63, default="UTC", db_default="UTC")  # an IANA name
    delete_after = fields.DatetimeField(null=True)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "tenants"


class Domain(Model):
    """A host name that identifies a tenant; readable before any tenant is bound."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    tenant: fields.ForeignKeyRelation[Tenant] = fields.ForeignKeyField("tenants.Tenant", related_name=False)
    hostname = fields.CharField(max_length=253, unique=True)
    verified_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "domains"


class User(Model):
    """A person, once for the whole deployment; belongs to tenants through memberships."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    email = fields.CharField(max_length=254, unique=True)  # normalised: lower case, IDNA domain
    name = fields.CharField(max_length=200)
    password_hash = fields.CharField(max_length=255, null=True)  # null: signs in through a provider only
    email_verified_at = fields.DatetimeField(null=True)
    token_version = fields.IntField(default=1)  # raised: every token issued before is void
    is_operator = fields.BooleanField(default=False)
    locale = fields.CharField(max_length=35, default="", db_default="")  # BCP 47; empty: the deployment's
    settings: fields.JSONField[dict[str, Any]] = fields.JSONField(default=dict)
    version = fields.IntField(default=1)
    disabled_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "users"


class Role(TenantModel):
    """A named set of permissions in one tenant; `all_permission` holds every one, present and future."""

    name = fields.CharField(max_length=63)
    title = fields.CharField(max_length=200, default="")
    permissions: fields.JSONField[list[str]] = fields.JSONField(default=list)
    all_permission = fields.BooleanField(default=False)
    built_in = fields.BooleanField(default=False)  # came from config/roles.toml: cannot be deleted
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "roles"
        unique_together = (("tenant_id", "name"),)


class Membership(TenantModel):
    """A person's membership in a tenant, with one role."""

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("tenants.User", related_name=False)
    role: fields.ForeignKeyRelation[Role] = fields.ForeignKeyField(
        "tenants.Role", related_name=False, on_delete=fields.RESTRICT
    )
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "memberships"
        unique_together = (("tenant_id", "user_id"),)
        indexes = (("user_id",),)  # a person's own memberships, across tenants


class Invitation(TenantModel):
    """An open offer to join a tenant with a role, one per address; the token is stored hashed, with the tenant's id.

    Accepting it deletes the row.
    """

    email = fields.CharField(max_length=254)
    role: fields.ForeignKeyRelation[Role] = fields.ForeignKeyField("tenants.Role", related_name=False)
    token_hash = fields.CharField(max_length=64, unique=True)
    invited_by = fields.UUIDField(null=True)
    expires_at = fields.DatetimeField()
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "invitations"
        unique_together = (("tenant_id", "email"),)


class ActivationState(StrEnum):
    """The state of a plugin's activation; a durable job completes `turning_on` and `turning_off`."""

    ON = "on"
    OFF = "off"
    TURNING_ON = "turning_on"
    TURNING_OFF = "turning_off"


class Activation(TenantModel):
    """One plugin's activation and settings in one tenant; no row means the deployment's default."""

    plugin = fields.CharField(max_length=63)
    state = fields.CharEnumField(ActivationState, max_length=20, null=True)  # null: the deployment's default
    settings: fields.JSONField[dict[str, Any]] = fields.JSONField(default=dict)
    version = fields.IntField(default=1)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "activations"
        unique_together = (("tenant_id", "plugin"),)


class TenantSetting(TenantModel):
    """One value that overrides the plan for one tenant, such as `limit:projects.projects`.

    The value is an object, `{"value": "7/hour"}`.
    """

    key = fields.CharField(max_length=200)
    value: fields.JSONField[dict[str, Any]] = fields.JSONField()  # never a bare text: Tortoise would parse it
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "tenant_settings"
        unique_together = (("tenant_id", "key"),)
