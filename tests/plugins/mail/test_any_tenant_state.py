"""What people outside are owed whatever state the organisation is in: the way out, links in messages, webhooks."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from host.sdk import make_pass
from host.settings import Settings
from host.testing import Client, Neighbours
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
async def house_settings(house_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TENANTRY_MAIL__MAILGUN__WEBHOOK_KEY", KEY)
    return house_settings


async def close(neighbours: Neighbours, state: str) -> None:
    """Put acme into a state in which its members are refused."""
    await _change(neighbours, state, on=False)
    await neighbours.acme.ask("GET", "/mail/messages", 404 if state == "switched off" else 403)


async def reopen(neighbours: Neighbours, state: str) -> Client:
    await _change(neighbours, state, on=True)
    return neighbours.acme


async def _change(neighbours: Neighbours, state: str, *, on: bool) -> None:
    acme, inner = neighbours.acme, neighbours.house.inner
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
    neighbours: Neighbours, within: Any, state: str
) -> None:
    with within(neighbours.acme):
        link = urlsplit(subscriptions.unsubscribe_link(ADA, NEWS)).path
    await close(neighbours, state)
    assert (await neighbours.stranger.get(link)).status_code == 200
    assert (await neighbours.stranger.post(link, data=ONE_CLICK)).status_code == 200
    assert (await neighbours.stranger.post(link, data={"choice": "everything"})).status_code == 200
    assert await states(await reopen(neighbours, state)) == {NEWS: False, "transactional": True, "*": False}


async def test_links_in_messages_when_tenant_is_closed_then_they_lead_where_they_led(
    neighbours: Neighbours, sent: Any, within: Any, state: str
) -> None:
    await neighbours.acme.ask("PUT", "/tenant/plugins/mail/settings", json={"track_opens": True, "track_clicks": True})
    message = await sent(neighbours.acme)
    with within(neighbours.acme):
        html = tracking.track('<a href="https://shop.example/">x</a>', message.id, ADA)
    link, picture = (urlsplit(each).path for each in re.findall(r'(?:href|src)="([^"]+)"', html))
    await close(neighbours, state)
    answer = await neighbours.stranger.get(link)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://shop.example/")
    assert (await neighbours.stranger.get(picture)).status_code == 200
    await reopen(neighbours, state)
    row = await message.look()
    assert (row["clicks"], row["opens"]) == (1, 1)


async def test_webhooks_when_tenant_is_closed_then_nothing_they_tell_is_lost(
    neighbours: Neighbours, sent: Any, state: str
) -> None:
    first, second = await sent(neighbours.acme, "eve@example.com"), await sent(neighbours.acme)
    own = await own_account(neighbours.acme, "acme-key")
    await close(neighbours, state)
    told = document(first.reference, "failed", recipient="eve@example.com", **PERMANENT)
    assert await tell(neighbours, told) == {"events": 1}
    told = document(second.reference, "failed", **PERMANENT) | {"signature": signature("acme-key")}
    answer = await neighbours.stranger.post(own, json=told)
    assert (answer.status_code, answer.json()["data"]) == (200, {"events": 1})
    assert await suppressed(await reopen(neighbours, state)) == {"eve@example.com": "bounce", ADA: "bounce"}


async def test_other_links_when_tenant_is_closed_then_still_nobodys(
    neighbours: Neighbours, within: Any, state: str
) -> None:
    with within(neighbours.acme):
        forged = make_pass("feedback", message="x", address=ADA, category=NEWS)
    await close(neighbours, state)
    assert (await neighbours.stranger.get(f"/api/v1/mail/unsubscribe/{forged}")).status_code == 404


async def test_webhook_when_mail_is_in_quarantine_then_503_so_that_the_provider_tells_again(
    neighbours: Neighbours, sent: Any, state: str
) -> None:
    message = await sent(neighbours.acme)
    await close(neighbours, state)
    neighbours.house.inner.registry.quarantine.put("mail", "it raised")
    refused = await tell(neighbours, document(message.reference, "failed", **PERMANENT), 503)
    assert refused["code"] == "PLUGIN_QUARANTINED"
