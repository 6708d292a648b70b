"""`/tenant/plan`, `/usage` and `/tenant/explain` endpoints: plan, limits, usage, and why access is given."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from host.contracts import Decision, Row
from host.errors import NotFound, ValidationFailed
from host.execution_context import actor, grants
from host.membership.people import rights_of
from host.plan_limits import limit_used, limit_value
from host.plans import plan_source, source_of
from host.provisioning import provisioning, refuse_unknown_plan
from host.services import services, tenant_snapshot
from host.web.routes import Routes
from tenants.access import explain
from tenants.context import current
from tenants.limits import window
from tenants.models import Tenant
from tenants.snapshots import TenantSnapshot

routes = Routes()


class Question(BaseModel):
    """What to explain: exactly one of permission, limit and plugin; user_id: whose permission, else the caller's."""

    model_config = ConfigDict(extra="forbid")
    permission: str | None = None
    user_id: UUID | None = None
    limit: str | None = None
    plugin: str | None = None


class OtherPlan(BaseModel):
    """The id of another plan, to see what it would mean."""

    model_config = ConfigDict(extra="forbid")
    plan: str | None = None


@routes.get("/tenant/plan", name="plan.read", permission="tenant.plan.read")
async def read_plan() -> Row:
    """The organisation's plan with its features and limits, who chose it and why, and the other plans.

    `source`: `operator` pinned it, `source` is the plugin in `chosen_by`, and `start` is the plan it began with.
    """
    tenant, plans = await Tenant.get(id=current()), services().plans
    plan = plans.get(tenant.plan)
    if plan is None:
        raise NotFound(f"This deployment has no plan {tenant.plan!r} any more; ask its operators.")
    return {
        "id": plan.id,
        "title": plan.title,
        "price": plan.price,
        "currency": plan.currency,
        "source": source_of(tenant),
        "chosen_by": plan_source(),
        "why": tenant.plan_why,
        "pinned": tenant.plan_pinned,
        "features": [plugin.id for plugin in provisioning().registry.plugins if plans.allows(plan.id, plugin.id)],
        "limits": await usage(),
        "others": [
            {"id": other.id, "title": other.title, "price": other.price, "currency": other.currency}
            for other in plans
            if other.id != plan.id
        ],
    }


@routes.get("/usage", name="usage.read", permission="tenant.usage.read")
async def read_usage(query: OtherPlan) -> list[Row]:
    """Every limit of the plan, with how much of it is used and when it resets; with `plan`, as it would be with that.

    `exceeded` marks what is used beyond its limit. With `plan`, plugins that would be lost follow, as kind `feature`.
    """
    return await usage(query.plan or "")


async def usage(plan: str = "") -> list[Row]:
    """Every limit of the bound tenant: name, summary, kind, unit, per, limit, value, source, used, resets_at, exceeded.

    `used` is None for what is not counted; `limit` None for what is unlimited; `exceeded`: more is used than that.
    plan: what it would be with this plan; plugins that are on now and would not be then follow with the kind "feature".

    Raises:
        ValidationFailed: there is no such plan.

    Example:
        in_the_way = [row["name"] for row in await usage("free") if row["exceeded"]]
    """
    now = await tenant_snapshot()
    if not plan:
        return [await _limit_row(name, now) for name in services().limits]
    refuse_unknown_plan(plan)
    then = replace(now, plan=plan)
    return [await _limit_row(name, then) for name in services().limits] + _lost(now, then)


def _lost(now: TenantSnapshot, then: TenantSnapshot) -> list[Row]:
    """A row for each plugin that is on now and would not be then."""
    registry = provisioning().registry
    gate = registry.feature_gate
    return [
        {
            "name": plugin.id,
            "summary": plugin.manifest.summary,
            "kind": "feature",
            "unit": "",
            "per": "tenant",
            "limit": 0,
            "value": "not included",
            "source": "plan",
            "used": 1,
            "resets_at": None,
            "exceeded": True,
        }
        for plugin in registry.plugins
        if gate.decide(now, plugin.id).allowed and not gate.decide(then, plugin.id).allowed
    ]


@routes.get("/tenant/explain", name="explain.read", permission="tenant.explanations.read")
async def explain_one(query: Question) -> Row:
    """Explain step by step why the caller, or a member, has or lacks a permission, or what a limit or plugin is."""
    asked = [name for name in ("permission", "limit", "plugin") if getattr(query, name) is not None]
    if len(asked) != 1:
        raise ValidationFailed(details={"query": "ask for exactly one of permission, limit, plugin"})
    if query.user_id is not None and query.permission is None:
        raise ValidationFailed(details={"user_id": "goes with permission only"})
    if query.permission is not None:
        return await _explain_permission(query.permission, query.user_id)
    if query.plugin is not None:
        decision = provisioning().registry.feature_gate.decide(await tenant_snapshot(), query.plugin)
        return _shape("plugin", query.plugin, decision)
    return await _explain_limit(query.limit or "")


async def _explain_permission(permission: str, user_id: UUID | None) -> Row:
    if permission not in services().permissions:
        raise NotFound(f"Nothing here declares a permission {permission!r}.")
    asked, held = (actor(), grants()) if user_id is None else await rights_of(user_id)
    allowed, steps = explain(held, permission)
    decision = Decision(allowed, steps[-1], steps)
    if allowed:
        veto = await services().access.decide(asked, held, await tenant_snapshot(), permission, {})
        reason = steps[-1] if veto.allowed else veto.reason
        decision = Decision(veto.allowed, reason, (*steps, *veto.steps))
    return _shape("permission", permission, decision)


async def _explain_limit(name: str) -> Row:
    if name not in services().limits:
        raise NotFound(f"Nothing here declares a limit {name!r}.")
    tenant = await tenant_snapshot()
    row = await _limit_row(name, tenant)
    value, source = await limit_value(name)
    explanations = {
        "default": f"the plan {tenant.plan} says nothing about it, so its own default holds",
        "plan": f"the plan {tenant.plan} says so",
        "tenant": "this organisation has a value of its own",
    }
    steps = (
        f"declared: {services().limits[name].summary}",
        f"{name} is {value}: {explanations[source]}",
        f"used: {row['used'] if row['used'] is not None else 'not counted'}",
    )
    available = value.amount is None or row["used"] is None or row["used"] < value.amount
    return _shape("limit", name, Decision(available, steps[1], steps)) | {"value": row}


def _shape(kind: str, name: str, decision: Decision) -> Row:
    return {kind: name, "allowed": decision.allowed, "reason": decision.reason, "steps": list(decision.steps)}


async def _limit_row(name: str, facts: TenantSnapshot) -> Row:
    declared = services().limits[name]
    value, source = await limit_value(name, facts)
    used = await limit_used(name, value)
    quota = declared.kind == "quota"
    period = window(value, datetime.now(UTC)) if quota else None
    return {
        "name": name,
        "summary": declared.summary,
        "kind": declared.kind,
        "unit": declared.unit,
        "per": declared.per,
        "limit": value.amount,
        "value": str(value),
        "source": source,
        "used": used,
        "resets_at": period[1] if period else None,
        "exceeded": value.amount is not None and used is not None and used > value.amount,
    }
