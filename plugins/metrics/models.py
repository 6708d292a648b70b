"""Table `DailyUse`: a tenant's requests, errors, response times and limit use per day."""

from __future__ import annotations

from tortoise import fields

from host.sdk import TenantModel


class DailyUse(TenantModel):
    """A tenant's use of one day (UTC), updated from the counts in Redis."""

    day = fields.DateField()
    succeeded = fields.BigIntField(default=0)  # answered with 2xx or 3xx
    refused = fields.BigIntField(default=0)  # 4xx
    failed = fields.BigIntField(default=0)  # 5xx
    seconds = fields.FloatField(default=0.0)  # total time of all answers
    counts: fields.Field[list[int]] = fields.JSONField(default=list)  # answers per bucket of host.sdk.DURATIONS
    used: fields.Field[dict[str, int]] = fields.JSONField(default=dict)  # limit -> amount used, as last read
    batch = fields.CharField(max_length=36, default="")  # id of the last batch added, so that none is added twice

    class Meta:
        table = "metrics_daily_uses"
        unique_together = (("tenant_id", "day"),)
