"""Metrics of mail: messages by what became of them, counted once the work is committed."""

from __future__ import annotations

from host.testing import TwoTenants


async def test_messages_when_sent_and_called_off_then_counted_by_status(two_tenants: TwoTenants) -> None:
    body = {"to": ["eve@example.net"], "subject": "Hello", "text": "It works."}
    await two_tenants.acme.ask("POST", "/mail/messages", 202, json=body)
    later = {**body, "send_at": "2027-01-01T00:00:00Z"}
    called_off = await two_tenants.acme.ask("POST", "/mail/messages", 202, json=later)
    await two_tenants.acme.ask("POST", f"/mail/messages/{called_off['id']}/cancel")
    await two_tenants.application.run_jobs()
    registry = two_tenants.application.inner.services.metering.meter.registry
    for status in ("sent", "cancelled"):
        assert registry.get_sample_value("tenantry_mail_messages_total", {"status": status}) == 1
