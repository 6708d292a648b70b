"""The provider `pigeon` over HTTP; `test_new_provider.py` runs it in a deployment whose mail plugin has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from host.registry.plugin_settings import read_settings
from host.settings import Settings, load
from host.testing import Client, TwoTenants
from plugins.mail.settings import Settings as MailSettings

pytestmark = pytest.mark.asyncio
MESSAGE = {"to": ["ada@example.com"], "subject": "Hello", "text": "Hello"}


@pytest.fixture
def app_settings(deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in (("PROVIDERS", "pigeon"), ("PIGEON__RING", "ours"), ("PIGEON__LOFT", "north")):
        monkeypatch.setenv(f"TENANTRY_MAIL__{name}", value)
    return load(
        deployment / "config" / "settings.toml", {"TENANTRY_DATA__DIR": str(tmp_path / "data")}, plugin_ids=None
    )


async def carried(two_tenants: TwoTenants, client: Client, tmp_path: Path) -> list[str]:
    """Have a message sent; the newest line that the pigeons' keeper wrote."""
    await client.ask("POST", "/mail/messages", 202, json=MESSAGE)
    await two_tenants.application.run_jobs()
    [file] = (tmp_path / "data").rglob("carried.txt")
    return file.read_text().splitlines()[-1].split()


async def test_message_when_sent_by_the_new_provider_then_carried_and_its_webhook_counts(
    two_tenants: TwoTenants, tmp_path: Path
) -> None:
    loft, to, reference = await carried(two_tenants, two_tenants.acme, tmp_path)
    assert (loft, to) == ("north", "ada@example.com")
    back = {"reference": reference, "to": to, "id": "1"}

    async def tell(ring: str) -> Any:
        return await two_tenants.anonymous.post("/api/v1/mail/webhooks/pigeon", json=back, headers={"x-ring": ring})

    assert (await tell("forged")).status_code == 400
    assert (await tell("ours")).json()["data"] == {"events": 1}
    [row] = await two_tenants.acme.ask("GET", "/mail/suppressions")
    assert (row["address"], row["reason"]) == (to, "bounce")


async def test_organisation_when_it_has_an_account_with_the_new_provider_then_its_mail_leaves_there(
    two_tenants: TwoTenants, tmp_path: Path
) -> None:
    acme = two_tenants.acme
    error = await acme.ask("PUT", "/mail/provider", 422, json={"pigeon": {"ring": ""}})
    assert set(error["details"]) == {"pigeon.ring", "pigeon.loft"}
    shown = await acme.ask("PUT", "/mail/provider", 201, json={"pigeon": {"ring": "theirs", "loft": "south"}})
    assert (shown["provider"], shown["settings"]) == ("pigeon", {"loft": "south"})
    loft, to, reference = await carried(two_tenants, acme, tmp_path)
    assert loft == "south"
    path = (await acme.ask("GET", "/mail/webhooks"))["url"].partition("/api/v1")[2]
    back = {"reference": reference, "to": to, "id": "1"}
    answer = await two_tenants.anonymous.post(f"/api/v1{path}", json=back, headers={"x-ring": "theirs"})
    assert answer.json()["data"] == {"events": 1}
    too_many = MESSAGE | {"to": ["a@example.com", "b@example.com"]}
    message = await acme.ask("POST", "/mail/messages", 202, json=too_many)
    await two_tenants.application.run_jobs()
    found = await acme.ask("GET", f"/mail/messages/{message['id']}")
    assert (found["status"], found["error"]) == ("failed", "Pigeon takes 1 recipients at most")


async def test_settings_when_the_new_provider_lacks_something_then_said_as_of_any_other() -> None:
    _, complaints = read_settings(
        MailSettings, "mail", {}, {"TENANTRY_MAIL__PROVIDERS": "pigeon"}, Path("plugins.toml")
    )
    assert "pigeon needs ring" in complaints[0]
