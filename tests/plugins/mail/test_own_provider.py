"""A tenant's own provider: its secrets never seen again, its server never inside, its mail through nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from host.sdk import app_singleton
from host.testing import Client, TwoTenants
from plugins.mail.addresses import Address
from plugins.mail.models.senders import ProviderAccount, Sender
from plugins.mail.outgoing import Outgoing
from plugins.mail.providers.contract import ProviderUnavailable
from plugins.mail.service.dispatcher import Dispatchers, tenant_dispatcher
from tests.plugins.mail.peers import sendgrid
from tests.plugins.mail.peers.smtp import PASSWORD, USERNAME, SmtpPeer, smtp_server

Within = Callable[[Client], AbstractContextManager[None]]

PUBLIC = "93.184.216.34"
MESSAGE = Outgoing("<m@acme.example>", Address("", "a@acme.example"), (Address("", "b@example.com"),), "Hi", "Hi")


@pytest.fixture
def private_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that lets tenants name servers on its own network. Asked for before `application`."""
    monkeypatch.setenv("TENANTRY_MAIL__ALLOW_PRIVATE_HOSTS", "true")


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmtpPeer]:
    """A mail server whose certificate this machine trusts."""
    with smtp_server(tmp_path) as made:
        monkeypatch.setenv("SSL_CERT_FILE", made.ca_file)
        yield made


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[sendgrid.SendGridPeer]:
    """SendGrid, where the deployment says it is. Asked for before `application`."""
    async with sendgrid.sendgrid_server() as made:
        monkeypatch.setenv("TENANTRY_MAIL__SENDGRID__ENDPOINT", made.endpoint)
        yield made


def account(peer: SmtpPeer, **changes: Any) -> dict[str, Any]:
    values = {"host": "localhost", "port": peer.port, "username": USERNAME, "password": PASSWORD}
    return {"smtp": {**values, **changes}}


async def confirmed(within: Within, client: Client, email: str = "news@acme.example") -> None:
    with within(client):
        await Sender.create(email=email, confirmed_at=datetime.now(UTC))


# -- set, used, tried, removed ---------------------------------------------------------------------------


async def test_provider_when_set_then_mail_leaves_through_it_until_it_is_removed(
    private_hosts: None, peer: SmtpPeer, two_tenants: TwoTenants, within: Within
) -> None:
    acme = two_tenants.acme
    await acme.ask("GET", "/mail/provider", 404)
    answer = await acme.put("/api/v1/mail/provider", json=account(peer))
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/v1/mail/provider")
    with within(acme):
        dispatcher = await tenant_dispatcher()
        assert (await dispatcher.deliver(MESSAGE)).provider == "smtp"
        assert await tenant_dispatcher() is dispatcher  # connections are kept
    with within(two_tenants.globex):
        assert await tenant_dispatcher() is app_singleton(Dispatchers).application
    assert len(peer.taken) == 1
    await acme.ask("PUT", "/mail/provider", json=account(peer, password="another"))
    with within(acme):
        assert await tenant_dispatcher() is not dispatcher
        with pytest.raises(ProviderUnavailable, match="password"):
            await (await tenant_dispatcher()).deliver(MESSAGE)
    await acme.ask("DELETE", "/mail/provider", 204)
    with within(acme):
        assert await tenant_dispatcher() is app_singleton(Dispatchers).application
    await acme.ask("DELETE", "/mail/provider", 404)


async def test_secrets_when_set_then_sealed_at_rest_and_in_no_answer_or_record(
    private_hosts: None, peer: SmtpPeer, two_tenants: TwoTenants, within: Within
) -> None:
    acme = two_tenants.acme
    answers = [
        await acme.ask("PUT", "/mail/provider", 201, json=account(peer)),
        await acme.ask("GET", "/mail/provider"),
        await acme.ask("GET", "/audit/entries"),
    ]
    assert PASSWORD not in str(answers)
    assert answers[1]["provider"] == "smtp"
    assert answers[1]["settings"] == {
        "host": "localhost", "port": peer.port, "username": USERNAME, "tls": "starttls"
    }  # fmt: skip
    with within(acme):
        row = await ProviderAccount.get(id=answers[0]["id"])
        assert PASSWORD not in f"{row.secrets} {row.settings}"


async def test_secrets_when_sealed_by_another_deployment_then_mail_waits_and_says_what_to_do(
    private_hosts: None, peer: SmtpPeer, two_tenants: TwoTenants, within: Within
) -> None:
    await two_tenants.acme.ask("PUT", "/mail/provider", 201, json=account(peer))
    with within(two_tenants.acme):
        await ProviderAccount.all().update(secrets="AAAA", version=2)
        with pytest.raises(ProviderUnavailable, match="set it again"):
            await (await tenant_dispatcher()).deliver(MESSAGE)


async def test_trial_when_all_is_well_then_a_message_goes_to_the_confirmed_sender_itself(
    private_hosts: None, peer: SmtpPeer, two_tenants: TwoTenants, within: Within
) -> None:
    acme = two_tenants.acme
    await acme.ask("POST", "/mail/provider/test", 404)
    await acme.ask("PUT", "/mail/provider", 201, json=account(peer))
    assert await acme.ask("POST", "/mail/provider/test") == {"works": True, "problem": "", "sent_to": None}
    assert peer.taken == []
    await confirmed(within, acme)
    assert (await acme.ask("POST", "/mail/provider/test"))["sent_to"] == "news@acme.example"
    assert [taken.envelope for taken in peer.taken] == [["news@acme.example"]]


async def test_trial_when_the_password_is_wrong_then_says_so_and_does_not_show_it(
    private_hosts: None, peer: SmtpPeer, two_tenants: TwoTenants
) -> None:
    await two_tenants.acme.ask("PUT", "/mail/provider", 201, json=account(peer, password="wr0ng"))
    found = await two_tenants.acme.ask("POST", "/mail/provider/test")
    assert (found["works"], found["sent_to"]) == (False, None)
    assert "password" in found["problem"]
    assert "wr0ng" not in found["problem"]


async def test_provider_when_it_is_an_api_then_the_tenants_key_goes_to_the_deployments_endpoint(
    api: sendgrid.SendGridPeer, two_tenants: TwoTenants, within: Within
) -> None:
    await two_tenants.acme.ask("PUT", "/mail/provider", 201, json={"sendgrid": {"api_key": sendgrid.KEY}})
    with within(two_tenants.acme):
        assert (await (await tenant_dispatcher()).deliver(MESSAGE)).provider == "sendgrid"
    assert len(api.taken) == 1


# -- never inside ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.0.0.5", "169.254.169.254", "0", "2130706433", "::1", "::ffff:10.0.0.1", "0x7f.1"],
)
async def test_server_when_it_leads_inside_then_422_and_nothing_is_stored(two_tenants: TwoTenants, host: str) -> None:
    body = {"smtp": {"host": host, "port": 25}}
    refused = await two_tenants.acme.ask("PUT", "/mail/provider", 422, json=body)
    assert "smtp.host" in refused["details"]
    await two_tenants.acme.ask("GET", "/mail/provider", 404)


async def test_server_when_stored_before_its_name_led_inside_then_not_connected(
    peer: SmtpPeer, two_tenants: TwoTenants, within: Within
) -> None:
    acme = two_tenants.acme
    await acme.ask("PUT", "/mail/provider", 201, json={"smtp": {"host": PUBLIC, "port": 587}})
    with within(acme):
        await ProviderAccount.all().update(settings=account(peer)["smtp"] | {"password": ""}, version=2)
        with pytest.raises(ProviderUnavailable, match="public internet"):
            await (await tenant_dispatcher()).deliver(MESSAGE)
    found = await acme.ask("POST", "/mail/provider/test")
    assert "public internet" in found["problem"]
    assert peer.connections == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"smtp": {"host": PUBLIC}, "ses": None, "sendgrid": {"api_key": "x"}}, ""),
        ({"file": {"folder": "/"}}, "file"),
        ({"smtp": {"host": ""}}, "smtp.host"),
        ({"smtp": {"host": "a b"}}, "smtp.host"),
        ({"smtp": {"host": "a\r\nb"}}, "smtp.host"),
        ({"smtp": {"host": PUBLIC, "port": 6379}}, "smtp.port"),
        ({"smtp": {"host": PUBLIC, "tls": "none", "username": "x", "password": "y"}}, "smtp.tls"),
        ({"smtp": {"host": PUBLIC, "username": "a\r\nb"}}, "smtp.username"),
        ({"smtp": {"host": PUBLIC, "ca_file": "/etc/passwd"}}, "smtp.ca_file"),
        ({"sendgrid": {"api_key": ""}}, "sendgrid.api_key"),
        ({"sendgrid": {"api_key": "x", "endpoint": "http://127.0.0.1"}}, "sendgrid.endpoint"),
        ({"mailgun": {"api_key": "x", "domain": "a/../../b"}}, "mailgun.domain"),
        ({"mailgun": {"api_key": "x", "domain": "x.example", "region": "127.0.0.1"}}, "mailgun.region"),
        ({"ses": {"access_key": "x", "secret_key": "y", "region": "evil.example/#"}}, "ses.region"),
    ],
)
async def test_provider_when_wrongly_described_then_422_names_it(
    two_tenants: TwoTenants, body: dict[str, Any], field: str
) -> None:
    refused = await two_tenants.acme.ask("PUT", "/mail/provider", 422, json=body)
    assert any(name.startswith(field) for name in refused["details"]), refused["details"]


@pytest.mark.parametrize(
    "body",
    [
        {"sendgrid": {"api_key": "s3cret", "region": "eu"}},
        {"mailgun": {"api_key": "s3cret", "domain": "mg.acme.example"}},
        {"ses": {"access_key": "s3cret", "secret_key": "s3cret", "region": "eu-central-1"}},
        {"smtp": {"host": PUBLIC, "username": "u", "password": "s3cret"}},
    ],
)
async def test_provider_when_of_any_kind_then_stored_shown_without_secrets_and_opened(
    two_tenants: TwoTenants, within: Within, body: dict[str, Any]
) -> None:
    row = await two_tenants.acme.ask("PUT", "/mail/provider", 201, json=body)
    assert row["provider"] == next(iter(body))
    assert "s3cret" not in str(row)
    with within(two_tenants.acme):
        dispatcher = await tenant_dispatcher()
        assert [channel.name for channel in dispatcher.channels] == [row["provider"]]


# -- other people ----------------------------------------------------------------------------------------


async def test_provider_when_asked_for_without_the_permission_or_from_outside_then_refused(
    two_tenants: TwoTenants,
) -> None:
    body = {"sendgrid": {"api_key": "s3cret"}}
    await two_tenants.acme_admin.ask("PUT", "/mail/provider", 201, json=body)
    await two_tenants.globex.ask("GET", "/mail/provider", 404)
    await two_tenants.globex.ask("DELETE", "/mail/provider", 404)
    for client in (two_tenants.acme_member, two_tenants.acme_viewer):
        await client.ask("GET", "/mail/provider", 403)
        await client.ask("PUT", "/mail/provider", 403, json=body)
        await client.ask("DELETE", "/mail/provider", 403)
        await client.ask("POST", "/mail/provider/test", 403)
    await two_tenants.anonymous.ask("GET", "/mail/provider", 401, headers={"X-Tenant": "acme"})
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": False})
    assert (await two_tenants.acme.ask("GET", "/mail/provider", 404))["code"] == "PLUGIN_DISABLED"


async def test_provider_when_changed_by_another_meanwhile_then_412(two_tenants: TwoTenants) -> None:
    body = {"sendgrid": {"api_key": "s3cret"}}
    await two_tenants.acme.ask("PUT", "/mail/provider", 201, json=body)
    await two_tenants.acme.ask("PUT", "/mail/provider", json=body, headers={"If-Match": '"1"'})
    await two_tenants.acme.ask("PUT", "/mail/provider", 412, json=body, headers={"If-Match": '"1"'})
    await two_tenants.acme.ask("DELETE", "/mail/provider", 412, headers={"If-Match": '"1"'})
