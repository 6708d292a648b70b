from __future__ import annotations

import pytest

from tenants.models import ActivationState


@pytest.fixture
def registry(tree):
    tree.plans_toml.write_text(
        '[free]\ntitle="F"\nprice=0\ncurrency="usd"\nfeatures=["notes"]\n'
        '[pro]\ntitle="P"\nprice=9\ncurrency="usd"\nfeatures=["*"]\n'
    )
    tree.add("notes", default="on")
    tree.add("tags", default="off", requires={"notes": "*"})
    tree.add("colours", default="off", requires={"tags": "*"})
    tree.add("watch", default="always")
    return tree.load()


def test_decide_when_plugin_is_not_loaded_then_not_found_with_the_nearest(registry, snapshot_of):
    decision = registry.feature_gate.decide(snapshot_of(), "note")
    assert (decision.allowed, decision.code) == (False, "NOT_FOUND")
    assert 'did you mean "notes"?' in decision.reason


def test_decide_when_default_is_on_and_nothing_switched_then_on_with_every_step(registry, snapshot_of):
    decision = registry.feature_gate.decide(snapshot_of(), "notes")
    assert decision.allowed
    assert decision.steps == (
        'plugin "notes" 1.0 is loaded',
        'the plan "free" includes it',
        "the organisation has not switched it, the deployment's default is on",
        "it is not in quarantine",
    )


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        (ActivationState.ON, True),
        (ActivationState.OFF, False),
        (ActivationState.TURNING_ON, False),
        (ActivationState.TURNING_OFF, False),
    ],
)
def test_decide_when_tenant_has_switched_then_that_counts(registry, snapshot_of, state, allowed):
    decision = registry.feature_gate.decide(snapshot_of(notes=state), "notes")
    assert decision.allowed is allowed
    assert allowed or decision.code == "PLUGIN_DISABLED"


def test_decide_when_plan_lacks_it_then_plan_required_even_if_switched_on(registry, snapshot_of):
    decision = registry.feature_gate.decide(snapshot_of("free", tags=ActivationState.ON), "tags")
    assert decision.code == "PLAN_REQUIRED"
    assert decision.steps == ('plugin "tags" 1.0 is loaded', 'the plan "free" does not include it')


def test_decide_when_default_is_off_then_off_until_switched(registry, snapshot_of):
    assert registry.feature_gate.decide(snapshot_of("pro"), "tags").code == "PLUGIN_DISABLED"
    assert registry.feature_gate.decide(snapshot_of("pro", tags=ActivationState.ON), "tags").allowed


def test_decide_when_always_then_plan_and_switch_do_not_matter(registry, snapshot_of):
    assert registry.feature_gate.decide(snapshot_of("free", watch=ActivationState.OFF), "watch").allowed


def test_decide_when_requirement_of_requirement_is_off_then_off_and_says_which(registry, snapshot_of):
    facts = snapshot_of("pro", notes=ActivationState.OFF, tags=ActivationState.ON, colours=ActivationState.ON)
    decision = registry.feature_gate.decide(facts, "colours")
    assert decision.code == "PLUGIN_DISABLED"
    assert decision.reason.startswith('it requires "tags", and there: it requires "notes", and there:')


def test_decide_when_plugin_goes_into_quarantine_then_the_same_facts_say_so_and_back(registry, snapshot_of):
    facts = snapshot_of("pro", tags=ActivationState.ON)
    gate = registry.feature_gate
    assert gate.active(facts) == {"host", "notes", "tags", "watch"}
    registry.quarantine.put("notes", "it broke")
    assert gate.decide(facts, "notes").code == "PLUGIN_QUARANTINED"
    assert gate.decide(facts, "tags").code == "PLUGIN_QUARANTINED"
    assert gate.active(facts) == {"host", "watch"}
    assert gate.switched_on(facts) == {"host", "notes", "tags", "watch"}
    registry.quarantine.lift("notes")
    assert gate.decide(facts, "tags").allowed


def test_decide_when_plugin_is_off_and_in_quarantine_then_off(registry, snapshot_of):
    registry.quarantine.put("notes", "it broke")
    facts = snapshot_of(notes=ActivationState.OFF)
    assert registry.feature_gate.decide(facts, "notes").code == "PLUGIN_DISABLED"
    assert "notes" not in registry.feature_gate.switched_on(facts)


def test_decide_when_asked_of_the_host_then_allowed(registry, snapshot_of):
    assert registry.feature_gate.decide(snapshot_of(), "host").allowed


def test_decide_when_asked_twice_with_the_same_facts_then_worked_out_once(registry, snapshot_of):
    facts = snapshot_of()
    assert registry.feature_gate.decide(facts, "notes") is registry.feature_gate.decide(facts, "notes")


def test_decide_when_many_tenants_ask_then_answers_kept_stay_bounded_and_right(registry, snapshot_of, monkeypatch):
    monkeypatch.setattr("host.registry.feature_gate._KEPT", 1_000)
    for number in range(1_200):
        state = ActivationState.ON if number % 2 else ActivationState.OFF
        assert registry.feature_gate.decide(snapshot_of(notes=state), "notes").allowed is bool(number % 2)
    assert len(registry.feature_gate._kept) <= 1_000
