"""What happens outside every organisation is in the host's own log; operators who read it are recorded."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from host.execution_context import as_plugin
from host.identity.accounts import ensure_operator
from host.services import unit_of_work
from host.testing import Client, TwoTenants
from plugins.audit.verification import verify
from tenants.context import WrongTenant, bind, in_system_tenant

PASSWORD = "a long enough passphrase"


@pytest.fixture
async def operator(two_tenants: TwoTenants) -> Client:
    with two_tenants.application.inner.bound():
        await ensure_operator("root@host.example", PASSWORD)
    signed_in = await two_tenants.anonymous.ask(
        "POST", "/auth/login", json={"email": "root@host.example", "password": PASSWORD}
    )
    client = two_tenants.application.client(Authorization=f"Bearer {signed_in['access_token']}")
    client.user_id = signed_in["user"]["id"]
    return client


async def system_log(operator: Client, query: str = "") -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = await operator.ask("GET", f"/operator/audit?limit=100{query}")
    return entries


async def changes(client: Client, action: str) -> list[tuple[Any, Any]]:
    """What changed by an action, before and after, the newest first."""
    return [(each["before"], each["after"]) for each in await client.ask("GET", f"/audit/entries?action={action}")]


async def test_sign_ins_when_they_succeed_or_fail_then_are_in_the_system_log(
    two_tenants: TwoTenants, operator: Client
) -> None:
    wrong = {"email": "root@host.example", "password": "not the passphrase"}
    headers = {"User-Agent": "Guesser/1.0", "X-Request-ID": "a-guess"}
    await two_tenants.anonymous.ask("POST", "/auth/login", 401, json=wrong, headers=headers)
    await two_tenants.anonymous.ask("POST", "/auth/login", 401, json=wrong | {"email": "nobody@host.example"})
    failed = await system_log(operator, "&action=auth.session.create&outcome=failed")
    assert [entry["reason"] for entry in failed] == ["unknown address", "wrong password"]
    assert (failed[1]["address"], failed[1]["request_id"]) == ("127.0.0.1", "a-guess")
    assert failed[1]["resource_id"] == operator.user_id
    done = await system_log(operator, "&action=auth.session.create&outcome=succeeded")
    assert done[0]["after"]["method"] in {"password", "test"}
    assert "passphrase" not in str(await system_log(operator))
    own = await two_tenants.acme.ask("GET", "/audit/entries?action=auth.*")
    assert own == []
    for client in (two_tenants.acme, two_tenants.acme_admin):
        await client.ask("GET", "/operator/audit", 403)
    await two_tenants.anonymous.ask("GET", "/operator/audit", 401)


async def test_sign_ins_when_there_are_too_many_then_the_first_that_is_turned_away_is_recorded(
    two_tenants: TwoTenants, operator: Client
) -> None:
    wrong = {"email": "ada@host.example", "password": "not the passphrase"}
    while (await two_tenants.anonymous.request("POST", "/api/v1/auth/login", json=wrong)).status_code == 401:
        pass
    await two_tenants.anonymous.ask("POST", "/auth/login", 429, json=wrong)
    [denied] = await system_log(operator, "&action=auth.session.create&outcome=denied")
    assert (denied["reason"], denied["address"]) == ("too many attempts", "127.0.0.1")


async def test_registration_when_it_makes_an_organisation_then_its_log_begins_with_who_made_it(
    two_tenants: TwoTenants,
) -> None:
    person = {"email": "eve@example.com", "password": PASSWORD, "name": "Eve", "tenant_name": "Initech"}
    made = await two_tenants.anonymous.ask("POST", "/auth/register", 201, json=person)
    headers = {"Authorization": f"Bearer {made['access_token']}", "X-Tenant": "initech"}
    [entry] = await two_tenants.anonymous.ask("GET", "/audit/entries?action=tenant.tenant.create", headers=headers)
    assert (entry["actor_label"], entry["user_id"]) == ("eve@example.com", made["user"]["id"])


async def test_registration_when_closed_then_who_tried_is_in_the_system_log(
    two_tenants: TwoTenants, operator: Client
) -> None:
    services = two_tenants.application.inner.services
    closed = services.settings.identity.model_copy(update={"registration": False})
    object.__setattr__(services, "settings", services.settings.model_copy(update={"identity": closed}))
    person = {"email": "eve@example.com", "password": PASSWORD, "name": "Eve"}
    await two_tenants.anonymous.ask("POST", "/auth/register", 403, json=person)
    [denied] = await system_log(operator, "&action=auth.user.create&outcome=denied")
    assert (denied["reason"], denied["address"]) == ("registration is closed", "127.0.0.1")


async def test_key_when_wrong_revoked_or_expired_then_its_organisation_is_told_and_of_unknown_ones_nobody(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme
    made = await acme.ask("POST", "/tenant/api-keys", 201, json={"name": "CI", "permissions": ["audit.entries.read"]})
    await two_tenants.application.client(Authorization=f"Bearer {made['key']}").ask("GET", "/audit/entries")
    forged = made["key"][:-1] + ("a" if made["key"][-1] != "a" else "b")
    await two_tenants.application.client(Authorization=f"Bearer {forged}").ask("GET", "/audit/entries", 401)
    await acme.ask("DELETE", f"/tenant/api-keys/{made['id']}", 204)
    await two_tenants.application.client(Authorization=f"Bearer {made['key']}").ask("GET", "/audit/entries", 401)
    entries = await acme.ask("GET", "/audit/entries?action=tenant.api_keys.use&outcome=denied")
    assert [entry["reason"] for entry in entries] == ["revoked", "wrong secret"]
    assert {entry["resource_id"] for entry in entries} == {made["id"]}
    assert made["key"] not in str(entries)


async def test_system_log_when_sealed_then_is_a_chain_of_its_own(two_tenants: TwoTenants, operator: Client) -> None:
    from plugins.audit import sealing

    with two_tenants.application.inner.bound(), as_plugin("audit"), in_system_tenant():
        assert await sealing.seal() > 0
        verdict = await verify()
    assert verdict.ok
    assert verdict.checked > 0
    with (
        two_tenants.application.inner.bound(),
        bind(two_tenants.acme.tenant_id),
        pytest.raises(WrongTenant),
        in_system_tenant(),
    ):
        pass


async def test_operator_when_looking_into_an_organisation_then_it_sees_that_and_why(
    two_tenants: TwoTenants, operator: Client
) -> None:
    project = await two_tenants.acme.ask("POST", "/projects", 201, json={"name": "Apollo"})
    wrong = await operator.ask("GET", "/operator/audit?tenant=acme", 422)
    assert "reason" in wrong["details"]
    await operator.ask("GET", "/operator/audit?tenant=acme&reason=%20", 422)
    await operator.ask("GET", "/operator/audit?tenant=nobody&reason=x", 404)
    assert await two_tenants.acme.ask("GET", "/audit/entries?action=operator.*") == []
    path = "/operator/audit?tenant=acme&reason=ticket%2042&action=projects.*"
    [entry] = await operator.ask("GET", path)
    assert entry["resource_id"] == project["id"]
    [trace] = await two_tenants.acme.ask("GET", "/audit/entries?action=operator.audit.read")
    assert (trace["after"], trace["is_operator"]) == ({"reason": "ticket 42"}, True)
    assert (trace["actor_label"], trace["actor_id"]) == ("root@host.example", str(operator.user_id))
    assert await two_tenants.globex.ask("GET", "/audit/entries?action=operator.*") == []
    await two_tenants.acme.ask("GET", "/operator/audit?tenant=globex&reason=x", 403)
    [denied] = await two_tenants.acme.ask("GET", "/audit/entries?action=audit.operator.*&outcome=denied") or [None]
    assert denied is None  # asked outside every organisation: the host's log has it
    assert (await system_log(operator, "&outcome=denied"))[0]["actor_label"] == "owner@acme.example"


async def test_operator_when_acting_on_an_organisation_then_its_log_says_who(
    two_tenants: TwoTenants, operator: Client
) -> None:
    await operator.ask("PUT", "/operator/tenants/acme/plan", json={"plan": "pro"})
    [entry] = await two_tenants.acme.ask("GET", "/audit/entries?action=tenant.plan.update")
    assert (entry["actor_label"], entry["is_operator"]) == ("root@host.example", True)
    assert entry["before"] == {"plan": "enterprise", "plan_pinned": False}
    assert entry["after"] == {"plan": "pro", "plan_pinned": True}
    await operator.ask("DELETE", "/operator/tenants/globex", 204)
    await operator.ask("POST", "/operator/tenants/globex/purge", 204)
    [purged] = await system_log(operator, "&action=tenant.tenant.purge")
    assert (purged["before"], purged["actor_label"]) == ({"slug": "globex"}, "root@host.example")


async def test_setup_when_changed_then_old_and_new_values_and_no_entry_without_a_change(
    two_tenants: TwoTenants, operator: Client
) -> None:
    acme, place, name = two_tenants.acme, "/operator/tenants/acme", "projects.projects"
    plan, limit = f"{place}/plan", f"{place}/limits/{name}"
    for _ in range(2):
        await operator.ask("PUT", plan, json={"plan": "pro"})
        await operator.ask("PUT", limit, json={"value": "7"})
        await acme.ask("PUT", "/tenant/plugins/mail/settings", json={"keep_days": 30, "track_opens": False})
        await acme.ask("PUT", "/me/settings", json={"theme": "dark"})
    await operator.ask("PUT", limit, json={"value": "9"})
    await operator.ask("DELETE", limit, 204)
    await operator.ask("DELETE", limit, 204)
    assert await changes(acme, "tenant.plan.update") == [
        ({"plan": "enterprise", "plan_pinned": False}, {"plan": "pro", "plan_pinned": True})
    ]
    assert await changes(acme, "tenant.limits.update") == [
        ({name: "9"}, {name: None}),
        ({name: "7"}, {name: "9"}),
        ({name: None}, {name: "7"}),
    ]
    assert await changes(acme, "tenant.plugins.configure") == [({"keep_days": 90}, {"keep_days": 30})]
    settings = [entry["after"] for entry in await system_log(operator, "&action=auth.user.update")]
    assert settings == [{"settings": ["theme"]}]


async def test_reset_when_asked_for_then_recorded_whether_or_not_anybody_has_the_address(
    two_tenants: TwoTenants, operator: Client
) -> None:
    for address in ("owner@acme.example", "nobody@acme.example"):
        await two_tenants.anonymous.ask("POST", "/auth/password/forgot", 202, json={"email": address})
    unknown, known = await system_log(operator, "&action=auth.password_reset.create")
    assert (known["outcome"], known["resource_id"], known["actor_kind"]) == (
        "succeeded",
        str(two_tenants.acme.user_id),
        "anonymous",
    )
    assert (unknown["outcome"], unknown["resource_id"], unknown["reason"]) == ("failed", "", "unknown address")
    assert "nobody" not in str(unknown)


async def test_denial_when_an_api_key_lacks_the_permission_then_the_key_is_named_not_its_makers_role(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme
    made = await acme.ask(
        "POST", "/tenant/api-keys", 201, json={"name": "k", "permissions": ["projects.projects.read"]}
    )
    key = two_tenants.application.client(Authorization=f"Bearer {made['key']}")
    await key.ask("POST", "/projects", 403, json={"name": "x"})
    [denied] = await acme.ask("GET", "/audit/entries?outcome=denied")
    assert denied["reason"] == (
        "You lack the permission projects.projects.create: the role owner as this API key narrows it does not hold it."
    )


async def test_denials_when_they_happen_then_each_is_recorded_once(two_tenants: TwoTenants) -> None:
    acme, viewer = two_tenants.acme, two_tenants.acme_viewer
    await viewer.ask("POST", "/projects", 403, json={"name": "No"})
    await viewer.ask("GET", "/audit/entries", 403)
    await acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
    await acme.ask("GET", "/projects", 404)
    await acme.ask("DELETE", f"/tenant/roles/{uuid4()}", 404)
    await acme.ask("GET", f"/audit/entries/{uuid4()}", 404)  # to look and not to find is no action
    found = await acme.ask("GET", "/audit/entries?outcome=denied,failed&sort=at")
    assert [(entry["action"], entry["outcome"]) for entry in found] == [
        ("projects.projects.create", "denied"),
        ("audit.entries.read", "denied"),
        ("projects.projects.read", "denied"),
        ("tenant.roles.delete", "failed"),
    ]
    assert "switched it off" in found[2]["reason"]
    assert found[3]["resource_type"] == "role"


async def test_job_when_it_acts_or_fails_for_good_then_is_in_the_log(two_tenants: TwoTenants) -> None:
    from host.jobs.models import Job

    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id):
        async with unit_of_work() as work:
            await work.enqueue("projects.announce_overdue", nonsense=1)
    await two_tenants.application.run_jobs()
    [entry] = await two_tenants.acme.ask("GET", "/audit/entries?actor_kind=job&outcome=failed")
    assert (entry["action"], entry["resource_type"]) == ("projects.announce_overdue", "job")
    with two_tenants.application.inner.bound():
        assert str((await Job.get(task="projects.announce_overdue")).id) == entry["resource_id"]
