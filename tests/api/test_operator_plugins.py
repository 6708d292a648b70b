"""`/operator/plugins`: what plugins do in every process of the deployment, and putting them back into service."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from host.plugin_states import PluginStates
from host.registry.loading import Implementation
from host.settings import Settings
from host.testing import Client, TestApplication, TwoTenants
from tenants.models import Tenant, User


@pytest.fixture
async def operator(two_tenants: TwoTenants) -> Client:
    with two_tenants.application.inner.bound():
        user = await User.create(email="operator@example.com", name="Op", is_operator=True)
        return await two_tenants.application.sign_in(user, await Tenant.get(slug="acme"))


@pytest.fixture
async def second(two_tenants: TwoTenants, app_settings: Settings) -> AsyncIterator[TestApplication]:
    """Another process of the same deployment, as far as it can tell: its own plugins, on the same data and Redis."""
    async with TestApplication.open(app_settings) as opened:
        yield opened


def quarantine(application: TestApplication, reason: str, *, until_restart: bool = False) -> None:
    application.inner.registry.quarantine.put("projects", reason, until_restart=until_restart)


async def reported(*applications: TestApplication) -> None:
    for application in applications:
        with application.inner.bound():
            await application.inner.plugin_states.report()


async def projects_of(application: TestApplication, owner: Client) -> int:
    async with application.client(**{"Authorization": owner.headers["Authorization"], "X-Tenant": "acme"}) as client:
        return (await client.get("/api/v1/projects")).status_code


async def test_operator_plugins_when_asked_by_anybody_else_then_refused(two_tenants: TwoTenants) -> None:
    for method, path in (("GET", ""), ("POST", "/projects/rearm")):
        await two_tenants.acme.ask(method, f"/operator/plugins{path}", 403)
        await two_tenants.anonymous.ask(method, f"/operator/plugins{path}", 401)


async def test_plugins_when_listed_then_with_state_source_and_time_spent(
    two_tenants: TwoTenants, operator: Client
) -> None:
    await two_tenants.acme.ask("POST", "/projects", 201, json={"name": "Apollo"})
    rows = {row["id"]: row for row in await operator.ask("GET", "/operator/plugins")}
    audit = rows["audit"]
    assert (audit["source"], audit["state"], audit["why"]) == ("bundled", "loaded", "")
    assert audit["version"] == str(two_tenants.application.inner.registry.plugin("audit").manifest.version)
    assert audit["load_seconds"] > 0
    assert audit["hooks"]["on_action"]["calls"] >= 1
    assert audit["hooks"]["on_action"]["seconds"] > 0
    assert [process["state"] for process in audit["processes"]] == ["loaded"]


async def test_plugin_when_quarantined_in_two_processes_then_rearmed_through_one_and_both_serve(
    two_tenants: TwoTenants, operator: Client, second: TestApplication
) -> None:
    first, acme = two_tenants.application, two_tenants.acme
    quarantine(first, "on_action: it raised ValueError, 5 times in a row")
    quarantine(second, "on_start: it raised OSError")
    await reported(first, second)
    assert [await projects_of(one, acme) for one in (first, second)] == [503, 503]
    [row] = [row for row in await operator.ask("GET", "/operator/plugins") if row["id"] == "projects"]
    assert (row["state"], len(row["processes"])) == ("quarantined", 2)
    assert {process["why"] for process in row["processes"]} == {
        "on_action: it raised ValueError, 5 times in a row",
        "on_start: it raised OSError",
    }

    answer = await operator.ask("POST", "/operator/plugins/projects/rearm")

    assert (answer["state"], [process["state"] for process in answer["processes"]]) == ("loaded", ["loaded"] * 2)
    assert [await projects_of(one, acme) for one in (first, second)] == [200, 200]
    [entry] = await operator.ask("GET", "/operator/audit?action=operator.plugins.rearm")
    assert (entry["resource_id"], entry["outcome"], entry["after"]["processes"]) == ("projects", "succeeded", 2)


async def test_plugin_when_it_fails_to_start_again_in_one_process_then_it_stays_there_with_the_reason(
    two_tenants: TwoTenants, operator: Client, second: TestApplication
) -> None:
    async def fails() -> None:
        raise ValueError("still broken")

    calls = second.inner.registry.hook_calls
    calls._implementations = {"on_start": (Implementation("projects", "on_start", fails, ()),)}
    quarantine(two_tenants.application, "it hung")
    quarantine(second, "it hung")
    await reported(two_tenants.application, second)
    answer = await operator.ask("POST", "/operator/plugins/projects/rearm")
    assert (answer["state"], answer["why"]) == ("quarantined", "on_start: it raised ValueError: still broken")
    assert sorted(process["state"] for process in answer["processes"]) == ["loaded", "quarantined"]
    assert await projects_of(two_tenants.application, two_tenants.acme) == 200


async def test_rearm_when_there_is_nothing_to_do_then_refused_with_the_reason(
    two_tenants: TwoTenants, operator: Client
) -> None:
    await operator.ask("POST", "/operator/plugins/absent/rearm", 404)
    refused = await operator.ask("POST", "/operator/plugins/projects/rearm", 409)
    assert refused["message"] == "This plugin is in quarantine in no process."
    quarantine(two_tenants.application, "importing it: it raised SyntaxError", until_restart=True)
    await reported(two_tenants.application)
    refused = await operator.ask("POST", "/operator/plugins/projects/rearm", 409)
    assert "correct the cause and restart" in refused["message"]
    assert refused["details"] == {"why": "importing it: it raised SyntaxError"}


async def test_process_when_it_starts_after_a_request_then_the_old_request_is_not_for_it(
    two_tenants: TwoTenants, operator: Client, app_settings: Settings
) -> None:
    quarantine(two_tenants.application, "it hung")
    await reported(two_tenants.application)
    await operator.ask("POST", "/operator/plugins/projects/rearm")
    async with TestApplication.open(app_settings) as late:
        quarantine(late, "on_start: it raised OSError")
        anew = PluginStates(late.inner.registry, late.inner.services.redis_client)  # its first look at what was asked
        with late.inner.bound():
            await anew.start()
            await anew.stop()
        assert "projects" in late.inner.registry.quarantine
    rows = await operator.ask("GET", "/operator/plugins")
    assert {len(row["processes"]) for row in rows} == {1}  # the late one has gone, and said so
