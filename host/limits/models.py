"""QuotaUse: how much of a quota a tenant has used in one window."""

from __future__ import annotations

from tortoise import fields

from tenants.scoping import TenantModel


class QuotaUse(TenantModel):
    """One counter per tenant, limit and window; a standing quota has a single window that began in 1970."""

    limit_name = fields.CharField(max_length=127)  # "<plugin>.<what>"
    window_start = fields.DatetimeField()
    used = fields.BigIntField(default=0)

    class Meta:
        table = "quota_uses"
        unique_together = (("tenant_id", "limit_name", "window_start"),)
