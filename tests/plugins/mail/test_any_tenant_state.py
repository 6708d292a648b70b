"""What people outside are owed whatever state the organisation is in: the way out, links in messages, webhooks."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from host.sdk import sign_token
from host.settings import Settings
from host.testing import Client, TwoTenants
from plugins.mail.service import subscriptions, tracking
from tests.plugins.mail.test_subscriptions import ADA, NEWS, ONE_CLICK, states
from tests.plugins.mail.test_webhooks_mailgun import (
    KEY,
    PERMANENT,
    document,
    own_account,
    signature,
    suppressed,
    tell,
)

pytestmark = pytest.mark.parametrize("state", ["suspended", "leaving", "switched off"])


@pytest.fixture
async def app_settings(app_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TENANTRY_MAIL__MAILGUN__WEBHOOK_KEY", KEY)
    return app_settings


async def close(two_tenants: TwoTenants, state: str) -> None:
    """Put acme into a state in which its members are refused."""
    await _change(two_tenants, state, on=False)
    await two_tenants.acme.ask("GET", "/mail/messages", 404 if state == "switched off" else 403)


async def reopen(two_tenants: TwoTenants, state: str) -> Client:
    await _change(two_tenants, state, on=True)
    return two_tenants.acme


async def _change(two_tenants: TwoTenants, state: str, *, on: bool) -> None:
    acme, inner = two_tenants.acme, two_tenants.application.inner
    if state == "switched off":
        await acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": on})
        return
    assert acme.tenant_id is not None
    with inner.bound():
        if on:
            await inner.provisioning.resume(acme.tenant_id)
        elif state == "suspended":
            await inner.provisioning.suspend(acme.tenant_id, "unpaid")
        else:
            await inner.provisioning.delete(acme.tenant_id)


async def test_unsubscribe_when_tenant_is_closed_then_page_shows_and_one_click_counts(
    two_tenants: TwoTenants, within: Any, state: str
) -> None:
    with within(two_tenants.acme):
        link = urlsplit(subscriptions.unsubscribe_link(ADA, NEWS)).path
    await close(two_tenants, state)
    assert (await two_tenants.anonymous.get(link)).status_code == 200
    assert (await two_tenants.anonymous.post(link, data=ONE_CLICK)).status_code == 200
    assert (await two_tenants.anonymous.post(link, data={"choice": "everything"})).status_code == 200
    assert await states(await reopen(two_tenants, state)) == {NEWS: False, "transactional": True, "*": False}


async def test_links_in_messages_when_tenant_is_closed_then_they_lead_where_they_led(
    two_tenants: TwoTenants, sent: Any, within: Any, state: str
) -> None:
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail/settings", json={"track_opens": True, "track_clicks": True})
    message = await sent(two_tenants.acme)
    with within(two_tenants.acme):
        html = tracking.track('<a href="https://shop.example/">x</a>', message.id, ADA)
    link, picture = (urlsplit(each).path for each in re.findall(r'(?:href|src)="([^"]+)"', html))
    await close(two_tenants, state)
    answer = await two_tenants.anonymous.get(link)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://shop.example/")
    assert (await two_tenants.anonymous.get(picture)).status_code == 200
    await reopen(two_tenants, state)
    row = await message.look()
    assert (row["clicks"], row["opens"]) == (1, 1)


async def test_webhooks_when_tenant_is_closed_then_nothing_they_tell_is_lost(
    two_tenants: TwoTenants, sent: Any, state: str
) -> None:
    first, second = await sent(two_tenants.acme, "eve@example.com"), await sent(two_tenants.acme)
    own = await own_account(two_tenants.acme, "acme-key")
    await close(two_tenants, state)
    told = document(first.reference, "failed", recipient="eve@example.com", **PERMANENT)
    assert await tell(two_tenants, told) == {"events": 1}
    told = document(second.reference, "failed", **PERMANENT) | {"signature": signature("acme-key")}
    answer = await two_tenants.anonymous.post(own, json=told)
    assert (answer.status_code, answer.json()["data"]) == (200, {"events": 1})
    assert await suppressed(await reopen(two_tenants, state)) == {"eve@example.com": "bounce", ADA: "bounce"}


async def test_other_links_when_tenant_is_closed_then_still_nobodys(
    two_tenants: TwoTenants, within: Any, state: str
) -> None:
    with within(two_tenants.acme):
        forged = sign_token("feedback", message="x", address=ADA, category=NEWS)
    await close(two_tenants, state)
    assert (await two_tenants.anonymous.get(f"/api/v1/mail/unsubscribe/{forged}")).status_code == 404


async def test_webhook_when_mail_is_in_quarantine_then_503_so_that_the_provider_tells_again(
    two_tenants: TwoTenants, sent: Any, state: str
) -> None:
    message = await sent(two_tenants.acme)
    await close(two_tenants, state)
    two_tenants.application.inner.registry.quarantine.put("mail", "it raised")
    refused = await tell(two_tenants, document(message.reference, "failed", **PERMANENT), 503)
    assert refused["code"] == "PLUGIN_QUARANTINED"
