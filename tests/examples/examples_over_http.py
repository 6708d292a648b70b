"""The example plugins over HTTP; `test_examples.py` runs this in a deployment that has them."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from host.membership.events import MemberJoined
from host.services import unit_of_work
from host.settings import Settings, load
from host.testing import TwoTenants
from tenants.context import bind

pytestmark = pytest.mark.asyncio


@pytest.fixture
def app_settings(deployment: Path, tmp_path: Path) -> Settings:
    environment = {"TENANTRY_DATA__DIR": str(tmp_path / "data"), "DATABASE_URL": os.environ["EXAMPLES_DATABASE_URL"]}
    return load(deployment / "config" / "settings.toml", environment, plugin_ids=None)


async def test_examples_when_used_over_http_then_do_what_they_say(two_tenants: TwoTenants) -> None:
    await notes_are_kept_to_their_tenant_their_permission_and_their_limit(two_tenants)
    await letters_are_for_people_and_prepared_for_whoever_joins(two_tenants)
    await documents_are_kept_within_the_plan_and_read_in_ranges(two_tenants)


async def notes_are_kept_to_their_tenant_their_permission_and_their_limit(two_tenants: TwoTenants) -> None:
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


async def letters_are_for_people_and_prepared_for_whoever_joins(two_tenants: TwoTenants) -> None:
    for _ in range(2):  # the second answer is the stored one
        answer = await two_tenants.acme_viewer.get("/api/v1/welcome")
        assert answer.json()["data"] == {"letter": "Welcome to Acme!"}
        assert answer.headers["cache-control"] == "private, max-age=60"
    assert (await two_tenants.globex.ask("GET", "/welcome"))["letter"] == "Welcome to Globex!"
    key = {"name": "CI", "permissions": ["welcome.letters.read"]}
    secret = (await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=key))["key"]
    async with two_tenants.application.client(Authorization=f"Bearer {secret}") as machine:
        refusal = await machine.ask("GET", "/welcome", 403)
    assert "letters are for people" in str(refusal)

    application, joined = two_tenants.application.inner, MemberJoined(user_id=uuid4(), role="member")
    with application.bound(), bind(two_tenants.acme.tenant_id):
        async with unit_of_work() as work:
            work.announce(joined)
    assert await two_tenants.application.run_jobs() >= 1
    assert await two_tenants.acme.ask("GET", "/jobs?state=failed") == []


async def documents_are_kept_within_the_plan_and_read_in_ranges(two_tenants: TwoTenants) -> None:
    member, viewer = two_tenants.acme_member, two_tenants.acme_viewer
    made = await member.ask("POST", "/documents", 201, json={"text": "one two three"})
    assert made["words"] == 3
    path = f"/api/v1/documents/{made['id']}"
    assert (await viewer.get(path)).text == "one two three"
    part = await viewer.get(path, headers={"Range": "bytes=4-6"})
    assert (part.status_code, part.text) == (206, "two")
    assert (await two_tenants.globex.get(path)).status_code == 404
    refusal = await member.ask("POST", "/documents", 402, json={"text": "x" * 1020})
    assert (refusal["code"], refusal["details"]["used"]) == ("QUOTA_EXCEEDED", 13)
    await two_tenants.application.run_task("documents.recount", two_tenants.acme)
    (space,) = [row for row in await two_tenants.acme.ask("GET", "/usage") if row["name"] == "documents.space"]
    assert (space["used"], space["limit"]) == (13, 1024)
