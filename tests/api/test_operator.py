"""`/operator/tenants`: for operators of the deployment only."""

from __future__ import annotations

import pytest

from host.testing import Client, TwoTenants
from tenants.context import cross_tenant
from tenants.models import Tenant, User


@pytest.fixture
async def operator(two_tenants: TwoTenants) -> Client:
    with two_tenants.application.inner.bound():
        user = await User.create(email="operator@example.com", name="Op", is_operator=True)
        return await two_tenants.application.sign_in(user, await Tenant.get(slug="acme"))


async def test_operator_routes_when_asked_by_anybody_else_then_refused(two_tenants: TwoTenants) -> None:
    for method, path in (("GET", ""), ("GET", "/acme"), ("POST", "/acme/purge"), ("DELETE", "/globex")):
        await two_tenants.acme.ask(method, f"/operator/tenants{path}", 403)
        await two_tenants.anonymous.ask(method, f"/operator/tenants{path}", 401)


async def test_tenants_when_listed_then_page_by_page(two_tenants: TwoTenants, operator: Client) -> None:
    first = await operator.get("/api/v1/operator/tenants?limit=1")
    cursor = first.json()["meta"]["next_cursor"]
    assert [row["slug"] for row in first.json()["data"]] == ["acme"]
    assert [row["slug"] for row in await operator.ask("GET", f"/operator/tenants?cursor={cursor}")] == ["globex"]
    await operator.ask("GET", f"/operator/tenants?cursor={cursor}&plan=free", 400)
    assert [row["slug"] for row in await operator.ask("GET", "/operator/tenants?q=glo")] == ["globex"]


async def test_tenant_when_suspended_then_closed_at_once_with_the_reason(
    two_tenants: TwoTenants, operator: Client
) -> None:
    await operator.ask("POST", "/operator/tenants/acme/suspend", json={"reason": "unpaid since March"})
    refused = await two_tenants.acme.ask("GET", "/projects", 403)
    assert refused["code"] == "TENANT_SUSPENDED"
    assert refused["details"] == {"status": "suspended", "reason": "unpaid since March"}
    await two_tenants.globex.ask("GET", "/projects")
    await operator.ask("POST", "/operator/tenants/acme/suspend", 409, json={"reason": "again"})
    await operator.ask("POST", "/operator/tenants/acme/resume")
    await two_tenants.acme.ask("GET", "/projects")


async def test_limit_when_overridden_then_the_tenants_own_wins_until_taken_back(
    two_tenants: TwoTenants, operator: Client
) -> None:
    await operator.ask("PUT", "/operator/tenants/acme/limits/projects.projects", json={"value": "1"})
    await two_tenants.acme.ask("POST", "/projects", 201, json={"name": "One"})
    refused = await two_tenants.acme.ask("POST", "/projects", 402, json={"name": "Two"})
    assert (refused["details"]["limit"], refused["details"]["used"]) == (1, 1)
    await two_tenants.globex.ask("POST", "/projects", 201, json={"name": "Elsewhere"})
    await operator.ask("DELETE", "/operator/tenants/acme/limits/projects.projects", 204)
    await two_tenants.acme.ask("POST", "/projects", 201, json={"name": "Two"})
    await operator.ask("PUT", "/operator/tenants/acme/limits/nothing.here", 404, json={"value": "1"})
    await operator.ask("PUT", "/operator/tenants/acme/limits/projects.projects", 422, json={"value": "many"})


async def test_tenant_when_purged_then_nothing_of_it_is_left_and_the_other_tenant_is_whole(
    two_tenants: TwoTenants, operator: Client
) -> None:
    for client in (two_tenants.acme, two_tenants.globex):
        project = await client.ask("POST", "/projects", 201, json={"name": "P"})
        await client.ask("POST", f"/projects/{project['id']}/tasks", 201, json={"title": "T"})
    await operator.ask("POST", "/operator/tenants/acme/purge", 409)
    await operator.ask("DELETE", "/operator/tenants/acme", 204)
    await operator.ask("POST", "/operator/tenants/acme/purge", 204)
    await operator.ask("GET", "/operator/tenants/acme", 404)
    await two_tenants.acme.ask("GET", "/projects", 404)
    assert len(await two_tenants.globex.ask("GET", "/projects")) == 1
    database = two_tenants.application.inner.services.database
    for model in database.tenant_models():
        with database.bind(), cross_tenant("a test looks for what a purge left behind"):
            assert await model.filter(tenant_id=two_tenants.acme.tenant_id).count() == 0, model


async def test_tenant_when_made_by_an_operator_then_owned_by_whom_they_say(
    two_tenants: TwoTenants, operator: Client
) -> None:
    body = {"name": "Initech", "plan": "pro", "owner_email": "member@acme.example"}
    made = await operator.ask("POST", "/operator/tenants", 201, json=body)
    assert (made["slug"], made["plan"]) == ("initech", "pro")
    await two_tenants.acme_member.ask("PATCH", "/tenant", json={"name": "Mine"}, headers={"X-Tenant": "initech"})
    await operator.ask("POST", "/operator/tenants", 422, json={"name": "N", "plan": "gold"})
    await operator.ask("POST", "/operator/tenants", 422, json={"name": "N", "owner_email": "no@body.example"})
    await operator.ask("PUT", "/operator/tenants/initech/plan", 422, json={"plan": "gold"})


async def test_owner_when_appointed_by_an_operator_then_owns_it_beside_the_others(
    two_tenants: TwoTenants, operator: Client
) -> None:
    path, member = "/operator/tenants/acme/owner", two_tenants.acme_member
    told = await operator.ask("PUT", path, json={"email": "Member@Acme.example"})
    assert (told["user_id"], told["role"]) == (str(member.user_id), "owner")
    assert await operator.ask("PUT", path, json={"email": "member@acme.example"}) == told
    await member.ask("PATCH", "/tenant", json={"name": "Ours"})
    await two_tenants.acme.ask("PATCH", "/tenant", json={"name": "Mine"})
    await two_tenants.acme.ask("PUT", path, 403, json={"email": "viewer@acme.example"})
    await operator.ask("PUT", "/operator/tenants/nowhere/owner", 404, json={"email": "member@acme.example"})


async def test_organisation_when_nobody_owns_it_then_an_operator_gives_it_to_somebody_proven(
    two_tenants: TwoTenants, operator: Client
) -> None:
    await operator.ask("POST", "/operator/tenants", 201, json={"name": "Headless"})
    path, body = "/operator/tenants/headless/owner", {"email": "viewer@acme.example"}
    with two_tenants.application.inner.bound():
        person = User.filter(id=two_tenants.acme_viewer.user_id)
        proven = (await person.get()).email_verified_at
        for wrong in ({"email_verified_at": None}, {"disabled_at": proven}):
            await person.update(**wrong)
            await operator.ask("PUT", path, 422, json=body)
            made = {"name": "Other", "owner_email": "viewer@acme.example"}
            assert "owner_email" in (await operator.ask("POST", "/operator/tenants", 422, json=made))["details"]
            await person.update(email_verified_at=proven, disabled_at=None)
    await operator.ask("PUT", path, 422, json={"email": "no@body.example"})
    await operator.ask("PUT", path, json=body)
    await two_tenants.acme_viewer.ask("PATCH", "/tenant", json={"name": "Mine"}, headers={"X-Tenant": "headless"})
    await operator.ask("POST", "/operator/tenants/headless/suspend", json={"reason": "unpaid"})
    await operator.ask("PUT", path, 403, json={"email": "member@acme.example"})
