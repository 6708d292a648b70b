"""Table of which categories of mail the owner of an address wants."""

from __future__ import annotations

from enum import StrEnum

from tortoise import fields

from host.sdk import TenantModel

EVERYTHING = "*"
"""The `category` that means every category without a row of its own."""


class Source(StrEnum):
    """one_click: the mail program's own button (RFC 8058). page: our page. provider: the provider's feedback.
    settings: a member of the tenant, through the API."""

    ONE_CLICK = "one_click"
    PAGE = "page"
    PROVIDER = "provider"
    SETTINGS = "settings"


class Subscription(TenantModel):
    """An address and a category; without a row, an address gets every category."""

    address = fields.CharField(max_length=254)
    category = fields.CharField(max_length=63)
    subscribed = fields.BooleanField()
    since = fields.DatetimeField()
    source = fields.CharEnumField(Source, max_length=20)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "mail_subscriptions"
        unique_together = (("tenant_id", "address", "category"),)
