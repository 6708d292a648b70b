"""Database tables for sign-in: sessions, API keys, one-time tokens, OAuth accounts and OAuth states."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from tortoise import fields
from tortoise.models import Model
from uuid_utils.compat import uuid7

from tenants.models import User
from tenants.scoping import TenantModel
from tenants.text_columns import SortKeyField


class Session(Model):
    """One sign-in on one device: a series of refresh tokens, of which only the newest generation is valid.

    The refresh token of a generation is a MAC over id, generation and `salt` (see host.identity.tokens), so a token
    cannot be made from the row alone, and earlier generations are always recognised.
    """

    id = fields.UUIDField(primary_key=True, default=uuid7)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("tenants.User", related_name=False)
    user_id: UUID
    tenant_default = fields.UUIDField(null=True)  # the access token's default tenant
    token_version = fields.IntField()  # the user's when this session began; a higher one there ends it
    generation = fields.IntField(default=1)
    salt = fields.CharField(max_length=64)
    rotated_at = fields.DatetimeField(null=True)
    user_agent = fields.CharField(max_length=400, default="")
    address = fields.CharField(max_length=64, default="")
    expires_at = fields.DatetimeField()
    ended_at = fields.DatetimeField(null=True)
    end_reason = fields.CharField(max_length=40, default="")
    created_at = fields.DatetimeField(auto_now_add=True)
    last_used_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "sessions"
        indexes = (("user_id", "ended_at"), ("expires_at",))


class ApiKey(TenantModel):
    """A key for programs, of one tenant; the secret is stored hashed, revoked rows are kept."""

    name = fields.CharField(max_length=200)
    name_key = SortKeyField("name")
    prefix = fields.CharField(max_length=64)  # how the key's text begins, for people to recognise it by
    secret_hash = fields.CharField(max_length=64)
    permissions: fields.JSONField[list[str]] = fields.JSONField(default=list)
    made_by = fields.UUIDField(null=True)
    parent_id = fields.UUIDField(null=True)  # the key that made this one, with which it ends
    expires_at = fields.DatetimeField(null=True)
    last_used_at = fields.DatetimeField(null=True)
    revoked_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "api_keys"
        indexes = (("tenant_id", "created_at"),)


class TokenPurpose(StrEnum):
    """What a one-time token may be used for."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a purpose, no password


class OneTimeToken(Model):
    """A token sent by mail, valid once and only for the address it was sent to; stored hashed."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("tenants.User", related_name=False)
    user_id: UUID
    purpose = fields.CharEnumField(TokenPurpose, max_length=20)
    token_hash = fields.CharField(max_length=64, unique=True)
    email = fields.CharField(max_length=254)
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "one_time_tokens"
        indexes = (("user_id", "purpose"), ("expires_at",))


class OAuthAccount(Model):
    """A person's account at another provider that they sign in with here."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("tenants.User", related_name=False)
    user_id: UUID
    provider = fields.CharField(max_length=63)
    subject = fields.CharField(max_length=255)  # the provider's own, stable id of the person
    email = fields.CharField(max_length=254, default="")
    email_verified = fields.BooleanField(default=False, db_default=False)  # whether the provider vouches for `email`
    last_used_at = fields.DatetimeField(auto_now_add=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "oauth_accounts"
        unique_together = (("provider", "subject"),)
        indexes = (("user_id",),)


class OAuthState(Model):
    """A sign-in under way at another provider: what its callback must prove; valid once, for 10 minutes."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    provider = fields.CharField(max_length=63)
    state_hash = fields.CharField(max_length=64, unique=True)
    browser_hash = fields.CharField(max_length=64)  # of the cookie of the browser that began
    nonce = fields.CharField(max_length=64)
    code_verifier = fields.CharField(max_length=128)
    return_to = fields.CharField(max_length=500, default="")
    expires_at = fields.DatetimeField()
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "oauth_states"
        indexes = (("expires_at",),)
