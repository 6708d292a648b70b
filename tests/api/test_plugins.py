"""`/tenant/plugins`: a switch per organisation."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from host.crypto import Encryption
from host.sdk import tenant_settings
from host.services import plain_settings
from host.testing import TwoTenants
from tenants.context import bind
from tenants.models import Activation


class Account(BaseModel):
    host: str = ""
    password: SecretStr = SecretStr("")


@pytest.fixture
def account(two_tenants: TwoTenants, monkeypatch: pytest.MonkeyPatch) -> type[Account]:
    """Settings with a secret, as those of the plugin `projects`."""
    services: Any = two_tenants.application.inner.services
    monkeypatch.setattr(type(services), "__setattr__", object.__setattr__)
    monkeypatch.setattr(services, "tenant_settings", {"projects": Account})
    return Account


async def test_settings_when_they_hold_a_secret_then_kept_encrypted_shown_masked_and_given_to_code(
    two_tenants: TwoTenants, account: type[Account]
) -> None:
    path, acme = "/tenant/plugins/projects/settings", two_tenants.acme
    made = await acme.ask("PUT", path, json={"host": "a.example", "password": "hunter2"})
    assert made == {"host": "a.example", "password": "**********"} == await acme.ask("GET", path)
    assert await acme.ask("PUT", path, json={**made, "host": "b.example"}) == {**made, "host": "b.example"}
    with two_tenants.application.inner.bound(), bind(acme.tenant_id):
        found = await tenant_settings(account)
        assert (found.host, found.password.get_secret_value()) == ("b.example", "hunter2")
        row = await Activation.get(plugin="projects")
    assert "hunter2" not in str(row.settings)
    with (
        two_tenants.application.inner.bound(),
        bind(two_tenants.globex.tenant_id),
        pytest.raises(ValueError, match="not encrypted"),
    ):
        plain_settings(row.settings, "projects")  # of no use to whoever copies it
    log = await acme.ask("GET", "/audit/entries?action=tenant.plugins.configure")
    assert "hunter2" not in str(log)


async def test_settings_when_a_secret_cannot_be_read_any_more_then_said_so_and_set_anew(
    two_tenants: TwoTenants, account: type[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/tenant/plugins/projects/settings"
    await two_tenants.acme.ask("PUT", path, json={"password": "hunter2"})
    monkeypatch.setattr(
        two_tenants.application.inner.services, "encryption", Encryption("another secret of the deployment")
    )
    await two_tenants.acme.ask("GET", path, 409)
    await two_tenants.acme.ask("PUT", path, json={"password": "new"})
    assert (await two_tenants.acme.ask("GET", path))["password"] == "**********"


async def test_plugin_when_switched_off_then_gone_here_only_and_back_with_its_data(two_tenants: TwoTenants) -> None:
    made = await two_tenants.acme.ask("POST", "/projects", 201, json={"name": "Kept"})
    row = await two_tenants.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
    assert (row["enabled"], row["effective"]) == (False, False)
    refused = await two_tenants.acme.ask("GET", f"/projects/{made['id']}", 404)
    assert (refused["code"], refused["details"]) == ("PLUGIN_DISABLED", {"plugin": "projects"})
    assert await two_tenants.globex.ask("GET", "/projects") == []
    shown = (await two_tenants.acme.get("/api/v1/openapi.json")).json()["paths"]
    assert not any(path.startswith("/projects") for path in shown)
    row = await two_tenants.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": True})
    assert (row["enabled"], row["effective"]) == (True, True)
    assert (await two_tenants.acme.ask("GET", f"/projects/{made['id']}"))["name"] == "Kept"


async def test_plugin_when_always_on_unknown_or_not_ones_to_switch_then_refused(two_tenants: TwoTenants) -> None:
    await two_tenants.acme.ask("PUT", "/tenant/plugins/audit", 409, json={"enabled": False})
    await two_tenants.acme.ask("PUT", "/tenant/plugins/nothing", 404, json={"enabled": True})
    await two_tenants.acme_member.ask("PUT", "/tenant/plugins/projects", 403, json={"enabled": False})
    await two_tenants.acme.ask("PUT", "/tenant/plugins/projects", 422, json={"enabled": "maybe"})


async def test_explain_when_asked_then_says_why_step_by_step(two_tenants: TwoTenants) -> None:
    await two_tenants.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
    told = await two_tenants.acme.ask("GET", "/tenant/explain?plugin=projects")
    assert told["allowed"] is False
    assert told["steps"][-1] == "the organisation has switched it off"
    told = await two_tenants.acme_admin.ask("GET", "/tenant/explain?permission=tenant.profile.delete")
    assert (told["allowed"], told["permission"]) == (False, "tenant.profile.delete")
    await two_tenants.acme.ask("GET", "/tenant/explain?permission=a.b.c", 404)
    await two_tenants.acme.ask("GET", "/tenant/explain", 422)
    await two_tenants.acme.ask("GET", "/tenant/explain?plugin=projects&limit=tenant.members", 422)
