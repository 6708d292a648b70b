"""Plans compared with what plugins declare; more of it through a whole start in test_registry."""

from __future__ import annotations

import pytest

from host.contracts import Limit
from host.registry.declarations import Declarations
from host.registry.plan_check import plan_complaints
from tenants.limits import parse_limit
from tenants.plans import Plan, Plans

LIMITS = (Limit("mail.sent", "rate", "x"), Limit("mail.size", "value", "x"))
DECLARED = [Declarations("mail", items={"register_limits": LIMITS})]


@pytest.mark.parametrize(
    ("plan", "complaints"),
    [
        (Plan("free", features=("mail",), limits={"mail.sent": parse_limit("5/minute")}), []),
        (
            Plan("free", features=("mial",)),
            ["plans.toml: free.features: no plugin provides 'mial'; did you mean \"mail\"?"],
        ),
        (
            Plan("free", limits={"mail.sends": parse_limit("5")}),
            ['plans.toml: free.limits."mail.sends": no plugin declares this limit; did you mean "mail.sent"?'],
        ),
        (
            Plan("free", limits={"mail.sent": parse_limit("5")}),
            [
                'plans.toml: free.limits."mail.sent": "5" is no rate, it needs a fixed length of time; '
                'write it like "5/minute"'
            ],
        ),
    ],
)
def test_plans_when_names_or_values_do_not_fit_then_key_and_nearest_name_are_named(plan, complaints):
    assert list(plan_complaints(Plans("plans.toml", (plan,)), DECLARED, ["mail"], ["mail"])) == complaints
