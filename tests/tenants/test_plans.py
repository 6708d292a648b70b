"""Plans: what they allow, and which limit counts."""

from __future__ import annotations

from tenants.limits import parse_limit
from tenants.plans import Plan, Plans, effective_limit


def plan(plan_id: str, *features: str, **limits: str) -> Plan:
    """A plan with limits of "mail", each written as `parse_limit` reads it."""
    return Plan(
        plan_id,
        features=features or ("*",),
        limits={f"mail.{name}": parse_limit(text) for name, text in limits.items()},
    )


PLANS = Plans("plans.toml", (plan("free", "mail", sends="5/minute", seats="3"), plan("pro", sends="unlimited")))


def test_plan_when_asked_for_a_feature_answers_by_its_list():
    assert PLANS.allows("free", "mail")
    assert not PLANS.allows("free", "sms")
    assert PLANS.allows("pro", "anything")
    assert not PLANS.allows("gone", "mail")


def test_limit_when_a_tenant_has_its_own_wins_over_plan_and_default():
    def limit(plan: str, name: str, override: str | None = None) -> tuple[str, str]:
        value, source = effective_limit(PLANS, plan, name, "1", override)
        return str(value), source

    assert limit("free", "mail.sends", "7/hour") == ("7/hour", "tenant")
    assert limit("free", "mail.sends") == ("5/minute", "plan")
    assert limit("pro", "mail.sends") == ("unlimited", "plan")
    assert limit("pro", "mail.seats") == ("1", "default")
    assert limit("gone", "mail.seats") == ("1", "default")


def test_limit_when_unlimited_then_counted_in_the_period_it_has_elsewhere():
    plans = Plans("plans.toml", (plan("a", n="unlimited"), plan("b", n="5/month"), plan("c", n="5/day")))

    def period(plan: str, default: str, override: str | None = None) -> str | None:
        value, _ = effective_limit(plans, plan, "mail.n", default, override)
        assert value.unlimited
        assert str(value) == "unlimited"
        return value.period

    assert period("a", "unlimited") == "month", "the first plan that has one"
    assert period("a", "5/week") == "week"
    assert period("c", "5/week", "unlimited") == "day", "the tenant's own plan"
    assert effective_limit(plans, "a", "other", "unlimited", None)[0].period is None
