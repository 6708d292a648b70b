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
    await links_are_seen_by_those_they_are_shared_with(two_tenants)
    await a_trial_gives_a_larger_plan_until_it_ends(two_tenants)


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


async def links_are_seen_by_those_they_are_shared_with(two_tenants: TwoTenants) -> None:
    member, viewer, admin = two_tenants.acme_member, two_tenants.acme_viewer, two_tenants.acme_admin
    link = await member.ask("POST", "/links", 201, json={"url": "https://example.com/"})
    shares = f"/links/{link['id']}/shares"
    assert [row["id"] for row in await member.ask("GET", "/links")] == [link["id"]]
    assert await viewer.ask("GET", "/links") == await admin.ask("GET", "/links") == []
    await admin.ask("POST", shares, 404, json={"principal": "org"})
    role = {each["name"]: each["id"] for each in await admin.ask("GET", "/tenant/roles")}["viewer"]
    await member.ask("POST", shares, 204, json={"principal": f"role:{role}"})
    assert [row["id"] for row in await viewer.ask("GET", "/links")] == [link["id"]]
    assert await admin.ask("GET", "/links") == []
    await viewer.ask("GET", shares, 403)
    for nobody in (f"user:{two_tenants.globex.user_id}", f"user:{uuid4()}", "crew:1", "rubbish"):
        await member.ask("POST", shares, 422, json={"principal": nobody})
    told = {row["principal"]: (row["name"], row["people"]) for row in await member.ask("GET", shares)}
    assert told == {f"user:{member.user_id}": ("Member of Acme", 1), f"role:{role}": (told[f"role:{role}"][0], 1)}
    await member.ask("POST", shares, 204, json={"principal": "org", "level": "manage"})
    assert [row["id"] for row in await admin.ask("GET", "/links")] == [link["id"]]
    assert await two_tenants.globex.ask("GET", "/links") == []


async def a_trial_gives_a_larger_plan_until_it_ends(two_tenants: TwoTenants) -> None:
    plan = await two_tenants.acme.ask("GET", "/tenant/plan")
    assert (plan["id"], plan["source"], plan["why"]) == ("pro", "source", "A trial of 14 days.")
    await two_tenants.application.run_task("trial.end", two_tenants.acme)
    plan = await two_tenants.acme.ask("GET", "/tenant/plan")
    assert (plan["id"], plan["why"]) == ("free", "The trial is over.")
    assert (await two_tenants.globex.ask("GET", "/tenant/plan"))["id"] == "pro"
