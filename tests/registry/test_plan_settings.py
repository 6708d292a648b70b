from __future__ import annotations

import pytest

PLANS = "[free]\n[pro]\n"
BILLING = """
class PlanSettings(BaseModel, extra="forbid"):
    price_ids: tuple[str, ...] = ()
    trial_days: int = 14
@hookimpl
def register_plan_settings(): return PlanSettings
"""
SOURCE = """
@hookimpl
def register_plan_source(): return [PlanSource("x")]
"""


def plans(tree, text: str, *, source: str = BILLING) -> None:
    tree.plans_toml.write_text(PLANS + text)
    tree.add("billing", source)


def test_plan_settings_when_a_plan_has_none_then_the_models_defaults(tree):
    plans(tree, '[pro.billing]\nprice_ids = ["price_1"]\n')
    found = tree.load(strict=True).plan_settings
    assert {plan: value.price_ids for (plugin, plan), value in found.items() if plugin == "billing"} == {
        "free": (),
        "pro": ("price_1",),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[pro.billing]\nprice_id = []",
            'plans.toml: pro.billing.price_id: there is no such key; did you mean "price_ids"?',
        ),
        ('[pro.billing]\ntrial_days = "x"', "plans.toml: pro.billing.trial_days: must be a whole number"),
        (
            "[pro.biling]\n",
            'plans.toml: pro.biling: there is no such key, and no plugin of that name; did you mean "billing"?',
        ),
        ("[pro.limts]\n", 'did you mean "limits"?'),
        ("[pro.plugins]\n", "plans.toml: pro.plugins: there is no such key, and no plugin of that name"),
    ],
)
def test_plan_settings_when_wrong_then_start_is_refused_with_file_key_and_remedy(tree, text, said):
    plans(tree, text)
    assert said in tree.refusal()


def test_plan_settings_when_the_plugin_registers_none_then_start_is_refused(tree):
    plans(tree, "[pro.billing]\n", source="")
    assert 'pro.billing: plugin "billing" has no settings in plans (no register_plan_settings)' in tree.refusal()


def test_plan_settings_when_the_plugin_is_not_loaded_then_warned_of_only(tree, caplog):
    tree.plans_toml.write_text(PLANS + "[pro.billing]\nanything = 1\n")
    tree.add("billing", BILLING, wanted=False)
    assert tree.load(strict=True).plan_settings == {}
    assert "'billing' belongs to a plugin that is not loaded here and has no effect" in caplog.text


def test_plan_settings_when_a_plan_lacks_what_must_be_given_then_start_is_refused(tree):
    plans(tree, "", source=BILLING.replace("int = 14", "int"))
    text = tree.refusal()
    assert "free.billing.trial_days" in text
    assert "pro.billing.trial_days" in text


def test_plan_source_when_two_plugins_are_one_then_start_is_refused_naming_both(tree):
    tree.add("billing", SOURCE)
    tree.add("vouchers", SOURCE)
    assert 'plugins "billing" and "vouchers" both declare the plan source "of organisations"' in tree.refusal()
