"""`/tenant/api-keys` over HTTP: no wider than their maker, good in one organisation, over at once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from host.contracts import Event
from host.identity import api_keys
from host.identity.events import ApiKeyCreated
from host.testing import Client, TwoTenants

NEW = {"name": "CI", "permissions": ["projects.projects.read"]}


async def key_client(two_tenants: TwoTenants, made: dict[str, Any]) -> Client:
    return two_tenants.application.client(Authorization=f"Bearer {made['key']}")


async def test_key_when_made_then_shown_once_and_good_for_its_permissions_only(two_tenants: TwoTenants) -> None:
    made = await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=NEW)
    listed = await two_tenants.acme.ask("GET", "/tenant/api-keys")

    assert [each["id"] for each in listed] == [made["id"]]
    assert "key" not in listed[0]
    assert made["key"].startswith(listed[0]["prefix"])
    async with await key_client(two_tenants, made) as program:
        assert await program.ask("GET", "/projects") == []
        await program.ask("POST", "/projects", 403, json={"name": "Apollo"})
        await program.ask("GET", "/me", 403)
        await program.ask("GET", "/projects", headers={"X-Tenant": "globex"})  # the key's tenant comes first
    assert (await two_tenants.acme.ask("GET", "/tenant/api-keys"))[0]["last_used_at"] is not None


async def test_key_when_ended_then_401_at_once_and_404_for_ending_it_again(two_tenants: TwoTenants) -> None:
    made = await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=NEW)
    async with await key_client(two_tenants, made) as program:
        await program.ask("GET", "/projects")
        await two_tenants.globex.ask("DELETE", f"/tenant/api-keys/{made['id']}", 404)
        await two_tenants.acme.ask("DELETE", f"/tenant/api-keys/{made['id']}", 204)
        await program.ask("GET", "/projects", 401)
    await two_tenants.acme.ask("DELETE", f"/tenant/api-keys/{made['id']}", 404)
    assert await two_tenants.acme.ask("GET", "/tenant/api-keys") == []


async def test_key_when_wider_than_its_maker_unknown_or_late_then_refused(two_tenants: TwoTenants) -> None:
    await two_tenants.acme_member.ask("POST", "/tenant/api-keys", 403, json=NEW)
    beyond = NEW | {"permissions": ["tenant.profile.delete"]}
    await two_tenants.acme_admin.ask("POST", "/tenant/api-keys", 403, json=beyond)
    await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=beyond)
    for changes in (
        {"permissions": ["no.such.thing"]},
        {"permissions": []},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2040-01-01T00:00:00"},
    ):
        await two_tenants.acme.ask("POST", "/tenant/api-keys", 422, json=NEW | changes)


async def test_key_when_its_maker_is_demoted_then_it_may_no_more_than_they(two_tenants: TwoTenants) -> None:
    made = await two_tenants.acme_admin.ask(
        "POST", "/tenant/api-keys", 201, json=NEW | {"permissions": ["tenant.roles.create", "tenant.roles.read"]}
    )
    roles = {each["name"]: each["id"] for each in await two_tenants.acme.ask("GET", "/tenant/roles")}
    async with await key_client(two_tenants, made) as program:
        await program.ask("POST", "/tenant/roles", 201, json={"name": "tester"})
        await two_tenants.acme.ask(
            "PATCH", f"/tenant/members/{two_tenants.acme_admin.user_id}", json={"role_id": roles["viewer"]}
        )
        await program.ask("POST", "/tenant/roles", 403, json={"name": "another"})
        await program.ask("GET", "/tenant/roles")


MAKER = {"name": "Maker", "permissions": ["tenant.api_keys.create", "projects.projects.read"]}
DELEGATE = {"name": "Maker", "permissions": [*MAKER["permissions"], "tenant.api_keys.delegate"]}


async def test_key_when_it_makes_a_key_without_a_permission_that_says_so_then_403(two_tenants: TwoTenants) -> None:
    made = await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=MAKER)
    async with await key_client(two_tenants, made) as program:
        refused = await program.ask("POST", "/tenant/api-keys", 403, json=NEW)
    assert refused["details"] == {"permission": "tenant.api_keys.delegate"}


async def test_key_when_made_with_a_key_then_no_wider_no_longer_and_over_with_it(two_tenants: TwoTenants) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    made = await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=DELEGATE | {"expires_at": soon.isoformat()})
    async with await key_client(two_tenants, made) as program:
        await program.ask("POST", "/tenant/api-keys", 403, json=NEW | {"permissions": ["tenant.roles.create"]})
        later = NEW | {"expires_at": (soon + timedelta(seconds=1)).isoformat()}
        assert list((await program.ask("POST", "/tenant/api-keys", 422, json=later))["details"]) == ["expires_at"]
        child = await program.ask("POST", "/tenant/api-keys", 201, json=DELEGATE)
        assert datetime.fromisoformat(child["expires_at"]) == soon
        assert child["parent_id"] == made["id"]
    async with await key_client(two_tenants, child) as program:
        grandchild = await program.ask("POST", "/tenant/api-keys", 201, json=NEW)
    other = await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=NEW)
    async with await key_client(two_tenants, grandchild) as program:
        await program.ask("GET", "/projects")
        await two_tenants.acme.ask("DELETE", f"/tenant/api-keys/{made['id']}", 204)
        await program.ask("GET", "/projects", 401)
    assert [each["id"] for each in await two_tenants.acme.ask("GET", "/tenant/api-keys")] == [other["id"]]


async def test_key_when_made_then_its_maker_hears_of_it(two_tenants: TwoTenants, heard: list[Event]) -> None:
    made = await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=NEW)
    [created] = [each for each in heard if isinstance(each, ApiKeyCreated)]
    assert (str(created.key_id), created.key_name, created.email) == (made["id"], "CI", "owner@acme.example")


async def test_key_when_it_does_what_only_people_do_then_403(two_tenants: TwoTenants) -> None:
    everything = [each["name"] for each in await two_tenants.acme.ask("GET", "/tenant/permissions")]
    made = await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json={"name": "All", "permissions": everything})
    roles = {each["name"]: each["id"] for each in await two_tenants.acme.ask("GET", "/tenant/roles")}
    member = two_tenants.acme_member.user_id
    async with await key_client(two_tenants, made) as program:
        for method, path, body in (
            ("POST", "/tenants", {"name": "Mine"}),
            ("PATCH", "/me", {"name": "Mine"}),
            ("DELETE", "/me/sessions", None),
            ("POST", "/invitations/accept", {"token": "x"}),
            ("POST", "/tenant/roles", {"name": "all", "all_permission": True}),
            ("POST", "/tenant/invitations", {"email": "new@example.com", "role_id": roles["owner"]}),
            ("PATCH", f"/tenant/members/{member}", {"role_id": roles["owner"]}),
            ("GET", "/operator/tenants", None),
        ):
            await program.ask(method, path, 403, json=body)


def another(key: str, *, tenant: bool = False, key_id: bool = False, secret: bool = False) -> str:
    """The key with parts of it replaced by others of the same shape."""
    parts = key.split("_")
    for number, change in enumerate((tenant, key_id, secret), start=1):
        if change:
            parts[number] = api_keys._packed(uuid4().bytes) if number < 3 else "a" * 52
    return "_".join(parts)


async def test_key_when_wrong_in_whatever_part_then_one_answer_after_equal_time(two_tenants: TwoTenants) -> None:
    made = await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=NEW)
    answers, times = [], []
    for wrong in ({"secret": True}, {"key_id": True}, {"tenant": True}, {"tenant": True, "secret": True}):
        headers = {"Authorization": f"Bearer {another(made['key'], **wrong)}"}
        began = time.perf_counter()
        answers.append(await two_tenants.anonymous.ask("GET", "/projects", 401, headers=headers) | {"request_id": ""})
        times.append(time.perf_counter() - began)
    assert all(each == answers[0] for each in answers)
    assert min(times) >= 0.1
    assert max(times) < 2 * min(times)
