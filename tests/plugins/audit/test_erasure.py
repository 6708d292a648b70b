"""Erasure and retention: what goes, what stays, and that the chain is whole all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from host.contracts import Actor, Origin
from host.jobs.models import Job
from host.plan_limits import limit_value
from host.services import storage
from host.testing import TwoTenants
from plugins.audit import retention
from tests.plugins.audit.conftest import Log


async def test_person_when_erased_then_gone_from_the_log_and_the_chain_is_whole(
    two_tenants: TwoTenants, log: Log
) -> None:
    acme, person = two_tenants.acme, uuid4()
    origin = Origin("r", Actor("user", person, "eve@acme.example", person), "10.9.9.9", "EveBrowser/1.0")
    await log.write(3, origin=origin)
    await log.write(1, resource_type="user", resource_id=str(person), after={"email": "eve@old.example"})
    await log.write(1, name="tenant.invitations.create", after={"email": "eve@old.example", "role": "member"})
    await log.write(2, after={"title": "adam@acme.example"})
    await log.seal()
    await log.write(1, origin=origin)  # not sealed yet
    told = await acme.ask("POST", "/audit/erasures", 202, json={"user_id": str(person), "reason": "she asked us"})
    assert told["user_id"] == str(person)
    await two_tenants.application.run_jobs()
    rows = str([dict(row) for row in await log.rows()])
    for trace in ("eve@", "10.9.9.9", "EveBrowser"):
        assert trace not in rows
    assert "adam@acme.example" in rows
    for word in ("EveBrowser", "eve", "10.9.9.9"):
        assert await acme.ask("GET", f"/audit/entries?q={word}") == []
    entries = await acme.ask("GET", f"/audit/entries?actor_id={person}")
    assert len(entries) == 4
    assert {(each["action"], each["actor_label"], str(each["after"])) for each in entries} == {
        ("projects.tasks.update", "", "{}")
    }
    assert all(len(each["erased"]) == 128 for each in entries)
    [finished] = await acme.ask("GET", "/audit/entries?action=audit.erasures.finish")
    assert finished["after"] == {"entries": 6}
    [asked] = await acme.ask("GET", "/audit/entries?action=audit.erasures.create")
    assert asked["after"] == {"reason": "she asked us"}
    verdict = await log.verify()
    assert verdict.ok, verdict.finding
    await log.seal()
    assert (await log.verify()).ok


async def test_erasure_when_asked_wrongly_then_refused(two_tenants: TwoTenants) -> None:
    body = {"user_id": str(uuid4()), "reason": "x"}
    for client in (two_tenants.acme_admin, two_tenants.acme_member):
        await client.ask("POST", "/audit/erasures", 403, json=body)
        await client.ask("POST", "/operator/audit/erasures", 403, json=body)
    for wrong in ({"user_id": "me"}, {"reason": " "}, {"reason": None}, {"more": 1}):
        await two_tenants.acme.ask("POST", "/audit/erasures", 422, json=body | wrong)


async def test_entries_when_older_than_the_plan_keeps_them_then_pruned_and_the_rest_is_whole(
    two_tenants: TwoTenants, log: Log
) -> None:
    now = datetime.now(UTC)
    await two_tenants.application.inner.services.database.execute("UPDATE tenants SET plan = 'free'")
    await log.seal()
    await log.attack("UPDATE audit_entries SET at = $1", now - timedelta(days=29))  # made young: not what is tested
    with log.bound():
        assert await retention.prune(now) == 0
    await log.attack("DELETE FROM audit_entries")
    await log.attack("DELETE FROM audit_chains")
    with log.bound():
        await storage().delete("checkpoint.json")
        limit, _ = await limit_value("audit.retention_days")
    assert limit.amount == 30
    for age in (50, 40, 31, 20, 35, 10):
        await log.write(at=now - timedelta(days=age))
        await log.seal()
    with log.bound():
        assert await retention.prune(now) == 3
        assert await retention.prune(now) == 0
    rows = [row for row in await log.rows() if row["position"]]
    assert [row["position"] for row in rows] == [4, 5, 6]  # the one of 35 days waits for the one before it
    verdict = await log.verify()
    assert verdict.ok, verdict.finding
    assert (verdict.first, verdict.last) == (4, 6)
    with log.bound():
        assert await retention.prune(now + timedelta(days=11)) == 2
    await log.seal()
    verdict = await log.verify()
    assert verdict.ok, verdict.finding
    assert verdict.first == 6
    [pruned, *_] = await two_tenants.acme.ask("GET", "/audit/entries?action=audit.entries.prune")
    assert pruned["after"]["removed"] == 2
    oldest = next(row for row in await log.rows() if row["position"] == 6)
    await log.attack("DELETE FROM audit_entries WHERE id = $1", oldest["id"])  # pruned by somebody else
    finding = (await log.verify()).finding
    assert finding is not None
    assert (finding.kind, finding.position) == ("removed", 6)


async def test_retention_when_the_plan_keeps_for_ever_then_nothing_goes(log: Log) -> None:
    await log.write(at=datetime.now(UTC) - timedelta(days=4000))
    await log.seal()
    with log.bound():
        assert await retention.prune() == 0


@pytest.mark.parametrize("state", ["suspended", "leaving"])
async def test_retention_when_the_organisation_is_not_open_then_still_kept_as_promised(
    two_tenants: TwoTenants, log: Log, state: str
) -> None:
    application = two_tenants.application.inner
    long_ago = datetime.now(UTC) - timedelta(days=50)  # what a schedule missed since is made up for
    await application.services.database.execute("UPDATE tenants SET plan = 'free', created_at = $1", long_ago)
    await log.write(at=datetime.now(UTC) - timedelta(days=40), resource_type="old")
    await log.write(1)
    await log.seal()
    with application.bound():
        if state == "suspended":
            await application.provisioning.suspend(log.tenant_id, "unpaid")
        else:
            await application.provisioning.delete(log.tenant_id)
        await application.reconciler.fan_out()
    await two_tenants.application.run_jobs()
    assert not await log.rows("resource_type = 'old'")
    with application.bound():
        tasks = await Job.filter(tenant_id=log.tenant_id, state="done").values_list("task", flat=True)
    assert {"audit.prune", "host.sweep"} <= set(tasks)
    assert "mail.requeue" not in tasks, "what is not owed waits"
