"""`/tenant/api-keys` over HTTP: no wider than their maker, good in one organisation, over at once."""

from __future__ import annotations

from typing import Any

from host.testing import Client, Neighbours

NEW = {"name": "CI", "permissions": ["projects.projects.read"]}


async def key_client(neighbours: Neighbours, made: dict[str, Any]) -> Client:
    return neighbours.house.client(Authorization=f"Bearer {made['key']}")


async def test_key_when_made_then_shown_once_and_good_for_its_permissions_only(neighbours: Neighbours) -> None:
    made = await neighbours.acme.ask("POST", "/tenant/api-keys", 201, json=NEW)
    listed = await neighbours.acme.ask("GET", "/tenant/api-keys")

    assert [each["id"] for each in listed] == [made["id"]]
    assert "key" not in listed[0]
    assert made["key"].startswith(listed[0]["prefix"])
    async with await key_client(neighbours, made) as program:
        assert await program.ask("GET", "/projects") == []
        await program.ask("POST", "/projects", 403, json={"name": "Apollo"})
        await program.ask("GET", "/me", 403)
        await program.ask("GET", "/projects", headers={"X-Tenant": "globex"})  # the key's tenant comes first
    assert (await neighbours.acme.ask("GET", "/tenant/api-keys"))[0]["last_used_at"] is not None


async def test_key_when_ended_then_401_at_once_and_404_for_ending_it_again(neighbours: Neighbours) -> None:
    made = await neighbours.acme.ask("POST", "/tenant/api-keys", 201, json=NEW)
    async with await key_client(neighbours, made) as program:
        await program.ask("GET", "/projects")
        await neighbours.globex.ask("DELETE", f"/tenant/api-keys/{made['id']}", 404)
        await neighbours.acme.ask("DELETE", f"/tenant/api-keys/{made['id']}", 204)
        await program.ask("GET", "/projects", 401)
    await neighbours.acme.ask("DELETE", f"/tenant/api-keys/{made['id']}", 404)
    assert await neighbours.acme.ask("GET", "/tenant/api-keys") == []


async def test_key_when_wider_than_its_maker_unknown_or_late_then_refused(neighbours: Neighbours) -> None:
    await neighbours.acme_member.ask("POST", "/tenant/api-keys", 403, json=NEW)
    beyond = NEW | {"permissions": ["tenant.profile.delete"]}
    await neighbours.acme_admin.ask("POST", "/tenant/api-keys", 403, json=beyond)
    await neighbours.acme.ask("POST", "/tenant/api-keys", 201, json=beyond)
    for changes in (
        {"permissions": ["no.such.thing"]},
        {"permissions": []},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2040-01-01T00:00:00"},
    ):
        await neighbours.acme.ask("POST", "/tenant/api-keys", 422, json=NEW | changes)


async def test_key_when_its_maker_is_demoted_then_it_may_no_more_than_they(neighbours: Neighbours) -> None:
    made = await neighbours.acme_admin.ask(
        "POST", "/tenant/api-keys", 201, json=NEW | {"permissions": ["tenant.roles.create", "tenant.roles.read"]}
    )
    roles = {each["name"]: each["id"] for each in await neighbours.acme.ask("GET", "/tenant/roles")}
    async with await key_client(neighbours, made) as program:
        await program.ask("POST", "/tenant/roles", 201, json={"name": "tester"})
        await neighbours.acme.ask(
            "PATCH", f"/tenant/members/{neighbours.acme_admin.user_id}", json={"role_id": roles["viewer"]}
        )
        await program.ask("POST", "/tenant/roles", 403, json={"name": "another"})
        await program.ask("GET", "/tenant/roles")
