"""DailyUse: what an organisation's requests of one day came to."""

from __future__ import annotations

from tortoise import fields

from host.sdk import TenantModel


class DailyUse(TenantModel):
    """One day (UTC), added to as requests are answered."""

    day = fields.DateField()
    succeeded = fields.BigIntField(default=0)  # answered with 2xx or 3xx
    refused = fields.BigIntField(default=0)  # 4xx
    failed = fields.BigIntField(default=0)  # 5xx
    seconds = fields.FloatField(default=0.0)  # that all answers together took
    counts: fields.Field[list[int]] = fields.JSONField(default=list)  # answers by time, see host.sdk.DURATIONS
    used: fields.Field[dict[str, int]] = fields.JSONField(default=dict)  # limit -> how much of it was used, last seen
    batch = fields.CharField(max_length=36, default="")  # the last batch that was added, so that none is added twice

    class Meta:
        table = "metrics_daily_uses"
        unique_together = (("tenant_id", "day"),)
