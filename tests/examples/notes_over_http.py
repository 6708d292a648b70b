"""The example plugin `notes` over HTTP; `test_notes.py` runs it in a deployment that has the plugin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from host.settings import Settings, load
from host.testing import TwoTenants

pytestmark = pytest.mark.asyncio


@pytest.fixture
def app_settings(deployment: Path, tmp_path: Path) -> Settings:
    environment = {"TENANTRY_DATA__DIR": str(tmp_path / "data"), "DATABASE_URL": os.environ["NOTES_DATABASE_URL"]}
    return load(deployment / "config" / "settings.toml", environment, plugin_ids=None)


async def test_notes_when_written_then_kept_to_their_tenant_their_permission_and_their_limit(
    two_tenants: TwoTenants,
) -> None:
    answer = await two_tenants.acme_member.post("/api/v1/notes", json={"text": "ours"})
    made = answer.json()["data"]
    assert (await two_tenants.acme_viewer.get(answer.headers["location"])).json()["data"] == [made]
    assert [note["id"] for note in await two_tenants.acme_viewer.ask("GET", "/notes")] == [made["id"]]
    assert await two_tenants.globex.ask("GET", "/notes") == []
    refusal = await two_tenants.acme_viewer.ask("POST", "/notes", 403, json={"text": "not mine to write"})
    assert (refusal["code"], refusal["details"]["permission"]) == ("PERMISSION_DENIED", "notes.notes.create")
    assert (await two_tenants.anonymous.ask("GET", "/notes", 401))["code"] == "UNAUTHENTICATED"
    for number in range(19):
        await two_tenants.acme.ask("POST", "/notes", 201, json={"text": f"note {number}"})
    refusal = await two_tenants.acme.ask("POST", "/notes", 402, json={"text": "one too many"})
    assert (refusal["code"], refusal["details"]["limit"]) == ("QUOTA_EXCEEDED", 20)
    assert len(await two_tenants.acme.ask("GET", "/notes?limit=100")) == 20
    await two_tenants.globex.ask("POST", "/notes", 201, json={"text": "theirs is their own"})
