"""Plans: reading the file, complaints, and which limit counts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tenants.plans import PlanError, Plans, effective_limit

GOOD = """
[free]
title = "Free"
features = ["mail"]
limits = {"mail.sends" = "5/minute", "mail.size" = "5 GB", "seats" = 3}

[pro]
title = "Pro"
price = 29.90
currency = "EUR"
stripe_price_ids = ["price_1"]
[pro.limits]
"mail.sends" = "unlimited"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "plans.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_plans_when_read_keep_order_and_values(tmp_path):
    plans = Plans.load(written(tmp_path, GOOD))
    assert plans.ids == ("free", "pro")
    pro = plans.get("pro")
    assert (pro.title, pro.price, pro.currency, pro.stripe_price_ids) == ("Pro", Decimal("29.90"), "eur", ("price_1",))
    assert plans.get("free").limits == {"mail.sends": "5/minute", "mail.size": "5 GB", "seats": "3"}


def test_plan_when_asked_for_a_feature_answers_by_its_list(tmp_path):
    plans = Plans.load(written(tmp_path, GOOD))
    assert plans.allows("free", "mail")
    assert not plans.allows("free", "sms")
    assert plans.allows("pro", "anything")
    assert not plans.allows("gone", "mail")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no plan"),
        ("[free", "TOML"),
        ("free = 1", r"\[free\]"),
        ("[free]\nprize = 1", "did you mean 'price'"),
        ("[free]\nprice = -1", "not negative"),
        ("[free]\nprice = true", "not negative"),
        ("[free]\ntitle = ''", "title"),
        ("[free]\nfeatures = 'mail'", "features"),
        ("[free]\nlimits = 3", "limits"),
        ("[free.limits]\nseats = 'some'", "seats.*500/month"),
        ("[free.limits]\nmail.sends = '5'", "quotes"),
    ],
)
def test_plans_when_the_file_is_broken_name_file_and_remedy(tmp_path, text, complaint):
    path = written(tmp_path, text)
    with pytest.raises(PlanError, match=complaint) as caught:
        Plans.load(path)
    assert str(path) in str(caught.value)


def test_plans_when_the_file_is_missing_say_so(tmp_path):
    with pytest.raises(PlanError, match="no such file"):
        Plans.load(tmp_path / "plans.toml")


def test_check_when_names_are_unknown_names_the_nearest(tmp_path):
    plans = Plans.load(written(tmp_path, GOOD))
    complaints = plans.check({"mail.sent", "mail.size", "seats"}, {"mial"})
    assert len(complaints) == 3
    assert all(str(tmp_path) in complaint for complaint in complaints)
    assert any("'mail.sends'" in complaint and "did you mean 'mail.sent'" in complaint for complaint in complaints)
    assert any("features 'mail'" in complaint and "did you mean 'mial'" in complaint for complaint in complaints)
    assert plans.check({"mail.sends", "mail.size", "seats"}, {"mail"}) == []


def test_limit_when_a_tenant_has_its_own_wins_over_plan_and_default(tmp_path):
    plans = Plans.load(written(tmp_path, GOOD))

    def limit(plan: str, name: str, override: str | None = None) -> tuple[str, str]:
        value, source = effective_limit(plans, plan, name, "1", override)
        return str(value), source

    assert limit("free", "mail.sends", "7/hour") == ("7/hour", "tenant")
    assert limit("free", "mail.sends") == ("5/minute", "plan")
    assert limit("pro", "mail.sends") == ("unlimited", "plan")
    assert limit("pro", "seats") == ("1", "default")
    assert limit("gone", "seats") == ("1", "default")


def test_limit_when_unlimited_then_counted_in_the_period_it_has_elsewhere(tmp_path):
    plans = Plans.load(
        written(
            tmp_path, '[a.limits]\n"m.n" = "unlimited"\n[b.limits]\n"m.n" = "5/month"\n[c.limits]\n"m.n" = "5/day"\n'
        )
    )

    def period(plan: str, default: str, override: str | None = None) -> str | None:
        value, _ = effective_limit(plans, plan, "m.n", default, override)
        assert value.unlimited
        assert str(value) == "unlimited"
        return value.period

    assert period("a", "unlimited") == "month", "the first plan that has one"
    assert period("a", "5/week") == "week"
    assert period("c", "5/week", "unlimited") == "day", "the tenant's own plan"
    assert effective_limit(plans, "a", "other", "unlimited", None)[0].period is None


def test_plans_of_this_repository_are_readable():
    assert Plans.load(Path(__file__).parents[2] / "config" / "plans.toml").ids[0] == "free"
