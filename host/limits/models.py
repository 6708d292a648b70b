"""The database models of how much of a quota a tenant has used, hour by hour, and of what is reserved."""

from __future__ import annotations

from tortoise import fields

from tenants.scoping import TenantModel


class QuotaUse(TenantModel):
    """The use from `since` until the next row begins: one hour, or one day when it is more than a week ago.

    Rows do not depend on a limit's period: the use in a window is the sum of the rows that begin in it, so a plan
    with another period counts the same history. More than a year ago: one row, since 1970. A row may be
    below 0, when more was given back in it than spent.
    """

    limit_name = fields.CharField(max_length=127)  # "<plugin>.<what>"; "<plugin>.<what>@<user id>" for one person's
    since = fields.DatetimeField()
    used = fields.BigIntField(default=0)

    class Meta:
        table = "quota_uses"
        unique_together = (("tenant_id", "limit_name", "since"),)


class Reservation(TenantModel):
    """What was spent before it is known how much is used; settling it deletes the row."""

    limit_name = fields.CharField(max_length=127)  # as in QuotaUse
    amount = fields.BigIntField()
    since = fields.DatetimeField()  # the row of QuotaUse that it was spent from
    lapses_at = fields.DatetimeField(null=True)  # given back then; null: never

    class Meta:
        table = "quota_reservations"
        indexes = (("tenant_id", "limit_name", "since"), ("lapses_at",))
