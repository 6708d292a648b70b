"""`/tenant/plugins`: a switch per organisation."""

from __future__ import annotations

from host.testing import Neighbours


async def test_plugin_when_switched_off_then_gone_here_only_and_back_with_its_data(neighbours: Neighbours) -> None:
    made = await neighbours.acme.ask("POST", "/projects", 201, json={"name": "Kept"})
    row = await neighbours.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
    assert (row["enabled"], row["effective"]) == (False, False)
    refused = await neighbours.acme.ask("GET", f"/projects/{made['id']}", 404)
    assert (refused["code"], refused["details"]) == ("PLUGIN_DISABLED", {"plugin": "projects"})
    assert await neighbours.globex.ask("GET", "/projects") == []
    shown = (await neighbours.acme.get("/api/v1/openapi.json")).json()["paths"]
    assert not any(path.startswith("/projects") for path in shown)
    row = await neighbours.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": True})
    assert (row["enabled"], row["effective"]) == (True, True)
    assert (await neighbours.acme.ask("GET", f"/projects/{made['id']}"))["name"] == "Kept"


async def test_plugin_when_always_on_unknown_or_not_ones_to_switch_then_refused(neighbours: Neighbours) -> None:
    await neighbours.acme.ask("PUT", "/tenant/plugins/audit", 409, json={"enabled": False})
    await neighbours.acme.ask("PUT", "/tenant/plugins/nothing", 404, json={"enabled": True})
    await neighbours.acme_member.ask("PUT", "/tenant/plugins/projects", 403, json={"enabled": False})
    await neighbours.acme.ask("PUT", "/tenant/plugins/projects", 422, json={"enabled": "maybe"})


async def test_explain_when_asked_then_says_why_step_by_step(neighbours: Neighbours) -> None:
    await neighbours.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
    told = await neighbours.acme.ask("GET", "/tenant/explain?plugin=projects")
    assert told["allowed"] is False
    assert told["steps"][-1] == "the organisation has switched it off"
    told = await neighbours.acme_admin.ask("GET", "/tenant/explain?permission=tenant.profile.delete")
    assert (told["allowed"], told["permission"]) == (False, "tenant.profile.delete")
    await neighbours.acme.ask("GET", "/tenant/explain?permission=a.b.c", 404)
    await neighbours.acme.ask("GET", "/tenant/explain", 422)
    await neighbours.acme.ask("GET", "/tenant/explain?plugin=projects&limit=tenant.members", 422)
