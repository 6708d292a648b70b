"""One source of the plan: what it chooses, what an operator pins, what is told, and what another plan would mean."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from host.errors import ValidationFailed
from host.execution_context import as_plugin, in_tenant
from host.plans import assign_plan, pin_plan, plan_settings, unpin_plan
from host.services import unit_of_work
from host.settings import Settings
from host.testing import Client, TestApplication, TwoTenants
from tenants.models import Tenant, User

ROOT = Path(__file__).parents[1]
BILLING = """
from pydantic import BaseModel
from host import sdk

heard = []

class PlanSettings(BaseModel, extra="forbid"):
    price_ids: tuple[str, ...] = ()
    trial_days: int = 14

@sdk.hookimpl
def register_plan_source():
    return [sdk.PlanSource("Subscriptions")]

@sdk.hookimpl
def register_plan_settings():
    return PlanSettings

async def when_plan_changed(event: sdk.TenantPlanChanged) -> None:
    heard.append((event.before, event.after, event.why))

@sdk.hookimpl
def register_listeners():
    return [sdk.Subscription("host.TenantPlanChanged", when_plan_changed)]
"""
PLANS = """
[free]
features = ["billing"]
[free.limits]
"projects.projects" = "1"
[pro]
features = ["*"]
[pro.limits]
"projects.projects" = "20"
[pro.billing]
price_ids = ["price_1"]
[enterprise]
"""


@pytest.fixture
def app_settings(app_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A deployment with a plugin that is the source of plans, as if it were installed."""
    root = tmp_path / "deployment"
    shutil.copytree(ROOT / "config", root / "config")
    (root / "config" / "plans.toml").write_text(PLANS)
    shutil.copytree(ROOT / "examples" / "clock", tmp_path / "billing")
    manifest = (tmp_path / "billing" / "manifest.toml").read_text("utf-8")
    (tmp_path / "billing" / "manifest.toml").write_text(manifest.replace('"clock"', '"billing"'))
    (tmp_path / "billing" / "plugin.py").write_text(BILLING)
    info = tmp_path / "example_billing-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-billing\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[tenantry.plugins]\nbilling = billing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    wanted = '\n[billing]\ndefault = "on"\npackage = "example-billing"\n'
    (root / "plugins.toml").write_text((ROOT / "plugins.toml").read_text("utf-8") + wanted)
    yield app_settings.model_copy(update={"root": root})
    for name in [name for name in sys.modules if name.split(".")[0] == "billing"]:
        del sys.modules[name]


@pytest.fixture
async def operator(application: TestApplication, two_tenants: TwoTenants) -> AsyncIterator[Client]:
    with application.inner.bound():
        await User.filter(email="owner@globex.example").update(is_operator=True)
        user, tenant = await User.get(email="owner@globex.example"), await Tenant.get(slug="globex")
    async with await application.sign_in(user, tenant) as client:
        yield client


@contextmanager
def entered(both: TwoTenants) -> Iterator[None]:
    with both.application.inner.bound():
        yield


async def assign(both: TwoTenants, plan: str, why: str = "paid", plugin: str = "billing") -> bool:
    """Chooses Acme's plan, as the plan source's own code does."""
    facts = await both.application.inner.callbacks.snapshot_of(both.acme.tenant_id)
    with both.application.inner.bound(), in_tenant(facts), as_plugin(plugin):
        return await assign_plan(plan, why)


async def shown(both: TwoTenants) -> tuple[str, str, str, bool]:
    plan = await both.acme.ask("GET", "/tenant/plan")
    return plan["id"], plan["source"], plan["why"], plan["pinned"]


def heard() -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = sys.modules["billing.plugin"].heard  # type: ignore[attr-defined]
    return found


async def test_plan_when_source_chooses_then_in_force_shown_recorded_and_told_once(two_tenants: TwoTenants) -> None:
    assert await shown(two_tenants) == ("enterprise", "start", "", False)
    for _ in range(2):
        assert await assign(two_tenants, "pro", "The subscription was paid.")
    await two_tenants.application.run_jobs()
    assert await shown(two_tenants) == ("pro", "source", "The subscription was paid.", False)
    assert (await two_tenants.acme.ask("GET", "/tenant/plan"))["chosen_by"] == "billing"
    assert heard() == [("enterprise", "pro", "The subscription was paid.")]
    [entry] = await two_tenants.acme.ask("GET", "/audit/entries?action=tenant.plan.update")
    assert entry["after"]["plan"] == "pro"
    assert (await two_tenants.globex.ask("GET", "/tenant/plan"))["id"] == "enterprise"


async def test_plan_when_pinned_then_the_sources_choice_waits_until_the_pin_is_lifted(
    two_tenants: TwoTenants, operator: Client
) -> None:
    body = {"plan": "pro", "why": "A promise of sales."}
    pinned = await operator.ask("PUT", "/operator/tenants/acme/plan", json=body)
    assert (pinned["plan"], pinned["plan_pinned"], pinned["source_plan"]) == ("pro", True, None)
    assert await shown(two_tenants) == ("pro", "operator", "A promise of sales.", True)
    assert await assign(two_tenants, "free", "The subscription ended.") is False
    assert await shown(two_tenants) == ("pro", "operator", "A promise of sales.", True)
    assert (await operator.ask("GET", "/operator/tenants/acme"))["source_plan"] == "free"
    lifted = await operator.ask("DELETE", "/operator/tenants/acme/plan")
    assert (lifted["plan"], lifted["plan_pinned"]) == ("free", False)
    assert await shown(two_tenants) == ("free", "source", "The subscription ended.", False)
    await two_tenants.application.run_jobs()
    told = [("enterprise", "pro", "A promise of sales."), ("pro", "free", "The subscription ended.")]
    assert sorted(heard()) == sorted(told)
    await operator.ask("DELETE", "/operator/tenants/nobody/plan", 404)


async def test_pin_when_lifted_and_the_source_chose_nothing_then_the_plan_stays(
    two_tenants: TwoTenants, operator: Client
) -> None:
    await operator.ask("PUT", "/operator/tenants/acme/plan", json={"plan": "pro", "why": "x"})
    for _ in range(2):
        assert (await operator.ask("DELETE", "/operator/tenants/acme/plan"))["plan"] == "pro"
    assert await shown(two_tenants) == ("pro", "start", "", False)


async def test_plan_when_transaction_is_undone_then_neither_changed_nor_told(two_tenants: TwoTenants) -> None:
    facts = await two_tenants.application.inner.callbacks.snapshot_of(two_tenants.acme.tenant_id)
    with entered(two_tenants), in_tenant(facts), as_plugin("billing"), pytest.raises(ZeroDivisionError):
        async with unit_of_work():
            await assign_plan("pro", "paid")
            raise ZeroDivisionError
    await two_tenants.application.run_jobs()
    assert (await shown(two_tenants))[0] == "enterprise"
    assert heard() == []


async def test_plan_when_pin_and_source_come_at_once_then_the_pin_holds_and_the_choice_is_kept(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme.tenant_id
    for _ in range(5):
        with entered(two_tenants):
            await unpin_plan(acme)
            await asyncio.gather(
                *(assign(two_tenants, plan) for plan in ("free", "enterprise", "free")), pin_plan(acme, "pro", "pinned")
            )
            row = await Tenant.get(id=acme)
            assert (row.plan, row.plan_pinned, row.plan_why) == ("pro", True, "pinned")
            chosen = row.source_plan
            assert chosen in {"free", "enterprise"}
            await unpin_plan(acme)
            row = await Tenant.get(id=acme)
            assert (row.plan, row.plan_pinned) == (chosen, False)
    await two_tenants.application.run_jobs()
    steps = [(before, after) for before, after, _ in heard()]
    assert all(before != after for before, after in steps)
    assert sum(after == "pro" for _, after in steps) == sum(before == "pro" for before, _ in steps) == 5


async def test_assign_when_not_the_source_or_no_such_plan_then_refused(two_tenants: TwoTenants) -> None:
    with pytest.raises(LookupError, match='plugin "projects" is not the source of plans here'):
        await assign(two_tenants, "pro", plugin="projects")
    with pytest.raises(ValidationFailed) as caught:
        await assign(two_tenants, "gold")
    assert caught.value.details == {"plan": "unknown plan 'gold'; there are free, pro, enterprise"}
    assert await shown(two_tenants) == ("enterprise", "start", "", False)


async def test_plan_settings_when_read_then_the_plans_table_or_the_models_defaults(two_tenants: TwoTenants) -> None:
    model = sys.modules["billing.plugin"].PlanSettings
    facts = await two_tenants.application.inner.callbacks.snapshot_of(two_tenants.acme.tenant_id)
    with entered(two_tenants), in_tenant(facts):
        assert (await plan_settings(model, "pro")).price_ids == ("price_1",)
        assert await plan_settings(model) == await plan_settings(model, "free") == model()
        with pytest.raises(LookupError, match="there is no plan 'pr'; did you mean \"pro\""):
            await plan_settings(model, "pr")
        with pytest.raises(LookupError, match="no loaded plugin returned BaseModel from register_plan_settings"):
            await plan_settings(type("BaseModel", (BaseModel,), {}), "pro")


async def test_usage_when_asked_for_another_plan_then_limits_below_use_and_lost_plugins_are_marked(
    two_tenants: TwoTenants,
) -> None:
    for name in ("one", "two"):
        await two_tenants.acme.ask("POST", "/projects", 201, json={"name": name})

    async def rows(query: str = "") -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in await two_tenants.acme.ask("GET", f"/usage{query}")}

    now, then = await rows(), await rows("?plan=free")
    assert not any(row["exceeded"] for row in now.values())
    assert {name for name, row in now.items() if row["kind"] == "feature"} == set()
    exceeded = {name for name, row in then.items() if row["exceeded"]}
    assert "projects.projects" in exceeded
    assert (then["projects.projects"]["limit"], then["projects.projects"]["used"]) == (1, 2)
    lost = {name for name, row in then.items() if row["kind"] == "feature"}
    assert {"projects", "mail"} <= lost <= exceeded
    assert "billing" not in lost
    assert not any(row["exceeded"] for row in (await rows("?plan=pro")).values())
    refusal = await two_tenants.acme.ask("GET", "/usage?plan=gold", 422)
    assert refusal["details"] == {"plan": "unknown plan 'gold'; there are free, pro, enterprise"}
    assert (await shown(two_tenants))[0] == "enterprise"
