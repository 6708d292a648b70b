"""`/tenants` and `/tenant`."""

from __future__ import annotations

import asyncio

from host.testing import TwoTenants
from tenants.models import Tenant


async def test_tenants_when_made_by_a_member_then_they_own_it_and_see_both(two_tenants: TwoTenants) -> None:
    eve = two_tenants.acme_member
    made = await eve.ask("POST", "/tenants", 201, json={"name": "Eve's own"})
    assert made["slug"] == "eve-s-own"
    listed = {row["slug"]: row["role"] for row in await eve.ask("GET", "/tenants")}
    assert listed == {"acme": "member", "eve-s-own": "owner"}
    assert (await eve.ask("GET", "/tenant", headers={"X-Tenant": "eve-s-own"}))["plan"] == "free"


async def test_tenant_when_its_slug_is_reserved_malformed_or_taken_then_refused(two_tenants: TwoTenants) -> None:
    for slug in ("admin", "Acme", "-a", "a b", "x" * 64):
        refused = await two_tenants.acme.ask("POST", "/tenants", 422, json={"name": "N", "slug": slug})
        assert list(refused["details"]) == ["slug"]
    assert (await two_tenants.acme.ask("POST", "/tenants", 409, json={"name": "N", "slug": "globex"}))[
        "code"
    ] == "CONFLICT"


async def test_tenant_when_renamed_with_an_old_version_then_precondition_failed(two_tenants: TwoTenants) -> None:
    tag = (await two_tenants.acme.get("/api/v1/tenant")).headers["etag"]
    await two_tenants.acme.ask("PATCH", "/tenant", json={"name": "Acme Corp"}, headers={"If-Match": tag})
    refused = await two_tenants.acme.ask("PATCH", "/tenant", 412, json={"name": "Again"}, headers={"If-Match": tag})
    assert refused["code"] == "PRECONDITION_FAILED"
    assert (await two_tenants.acme.ask("GET", "/tenant"))["name"] == "Acme Corp"


async def test_tenant_when_its_plan_changes_then_whoever_has_it_gets_it_anew(two_tenants: TwoTenants) -> None:
    tag = {"If-None-Match": (await two_tenants.acme.get("/api/v1/tenant")).headers["etag"]}
    assert (await two_tenants.acme.get("/api/v1/tenant", headers=tag)).status_code == 304
    with two_tenants.application.inner.bound():
        await Tenant.filter(slug="acme").update(plan="pro")  # its version stays
    answer = await two_tenants.acme.get("/api/v1/tenant", headers=tag)
    assert (answer.status_code, answer.json()["data"]["plan"]) == (200, "pro")


async def test_tenant_when_fields_are_forged_then_refused_with_their_names(two_tenants: TwoTenants) -> None:
    refused = await two_tenants.acme.ask("PATCH", "/tenant", 422, json={"name": "A", "plan": "enterprise", "id": "x"})
    assert set(refused["details"]) == {"plan", "id"}


async def test_tenant_when_deleted_then_closed_until_an_operator_brings_it_back(two_tenants: TwoTenants) -> None:
    await two_tenants.acme_admin.ask("DELETE", "/tenant?confirm=acme", 403)
    await two_tenants.acme.ask("DELETE", "/tenant?confirm=globex", 422)
    gone = await two_tenants.acme.ask("DELETE", "/tenant?confirm=acme", 202)
    assert gone["status"] == "deleting"
    assert (await two_tenants.acme.ask("GET", "/tenant", 403))["code"] == "TENANT_SUSPENDED"
    with two_tenants.application.inner.bound():
        await two_tenants.application.inner.provisioning.resume(two_tenants.acme.tenant_id)
    assert (await two_tenants.acme.ask("GET", "/tenant"))["status"] == "active"


async def test_organisations_when_one_person_makes_many_at_once_then_as_many_as_the_plan_lets_them_own(
    two_tenants: TwoTenants,
) -> None:
    person, asked = two_tenants.acme_member, [{"name": f"Free {number}"} for number in range(8)]
    answers = await asyncio.gather(*(person.post("/api/v1/tenants", json=body) for body in asked))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [402] * 5
    refused = await person.ask("POST", "/tenants", 402, json={"name": "One more"})
    assert (refused["details"]["name"], refused["details"]["limit"]) == ("tenant.per_person", 3)
    slug = next(answer.json()["data"]["slug"] for answer in answers if answer.status_code == 201)
    await person.ask("DELETE", f"/tenant?confirm={slug}", 202, headers={"X-Tenant": slug})
    await person.ask("POST", "/tenants", 402, json={"name": "In the grace period"})
    assert (await person.ask("POST", "/tenants", 429, json={"name": "Eleventh"}))["code"] == "RATE_LIMITED"
    await two_tenants.acme_admin.ask("POST", "/tenants", 201, json={"name": "Somebody else's"})


async def test_tenant_when_its_time_zone_is_set_then_kept_and_only_names_of_zones_are(two_tenants: TwoTenants) -> None:
    acme = two_tenants.acme
    assert (await acme.ask("GET", "/tenant"))["timezone"] == "UTC"
    changed = await acme.ask("PATCH", "/tenant", json={"timezone": "europe/berlin"})
    assert (changed["timezone"], changed["name"]) == ("Europe/Berlin", "Acme")
    for wrong in ("Mars/Olympus", "+02:00", "", "../etc/passwd", "localtime", None, 2):
        refused = await acme.ask("PATCH", "/tenant", 422, json={"timezone": wrong})
        assert list(refused["details"]) == ["timezone"]
    assert (await acme.ask("GET", "/tenant"))["timezone"] == "Europe/Berlin"
