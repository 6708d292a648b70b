"""What other plugins may call."""

from __future__ import annotations

from uuid import UUID

from host.testing import TwoTenants
from plugins.mail import public
from tests.plugins.mail.conftest import Outbound, Within


async def test_send_when_called_by_another_plugin_then_it_leaves_and_can_be_found(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    with within(two_tenants.acme):
        row = await public.send(["ada@example.com"], template="welcome", variables={"name": "Ada"})
        assert (await public.find(row["id"]) or {})["status"] == "queued"
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["ada@example.com"]
    with within(two_tenants.globex):
        assert await public.find(UUID(str(row["id"]))) is None
