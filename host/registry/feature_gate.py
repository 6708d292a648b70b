"""Decide whether a plugin is on for a tenant, and list the steps of the decision."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from host.contracts import Decision
from host.input_errors import nearest
from host.registry.loading import LoadedPlugin
from host.registry.manifest import HOST
from host.registry.quarantine import Quarantine
from tenants.models import ActivationState
from tenants.plans import Plans
from tenants.snapshots import TenantSnapshot

_KEPT = 10_000
_HOST_DECISION = Decision(True, "it belongs to the host", ("it belongs to the host",))


@dataclass(frozen=True, slots=True)
class _Kept:
    """The decisions for one snapshot object, which is held so that its id() is not used again."""

    facts: TenantSnapshot
    changes: int
    decisions: dict[str, Decision]


class Gate:
    """Decides in this order: loaded, plan allows, switched on, requirements on, not in quarantine.

    Plan and switch do not count for a plugin that is "always" on in the deployment. Each decision is made when it is
    first asked for, cached by snapshot object, and made anew when a plugin goes into quarantine or comes back.
    """

    def __init__(self, plugins: Sequence[LoadedPlugin], plans: Plans, quarantine: Quarantine) -> None:
        self._plugins = {plugin.id: plugin for plugin in plugins}
        self._plans = plans
        self._quarantine = quarantine
        self._kept: OrderedDict[int, _Kept] = OrderedDict()

    def decide(self, facts: TenantSnapshot, plugin_id: str) -> Decision:
        """Whether a plugin works for a tenant, and why.

        A refusal's code is NOT_FOUND, PLAN_REQUIRED, PLUGIN_DISABLED or PLUGIN_QUARANTINED.
        """
        decisions = self._decisions(facts)
        decision = decisions.get(plugin_id)
        if decision is None:
            plugin = self._plugins.get(plugin_id)
            if plugin is None:
                reason = f'no plugin "{plugin_id}" is loaded{nearest(plugin_id, self._plugins)}'
                return Decision(False, reason, (reason,), "NOT_FOUND")
            decision = decisions[plugin_id] = self._decide(facts, plugin)
        return decision

    def active(self, facts: TenantSnapshot, among: Iterable[str] | None = None) -> frozenset[str]:
        """The ids that work for a tenant, "host" among them. among: ask for these only."""
        ids = (HOST, *self._plugins) if among is None else among
        return frozenset([plugin_id for plugin_id in ids if self.decide(facts, plugin_id).allowed])

    def switched_on(self, facts: TenantSnapshot) -> frozenset[str]:
        """As `active`, but with the plugins that only quarantine stops: those that `ask_veto` must ask."""
        decided = ((plugin_id, self.decide(facts, plugin_id)) for plugin_id in (HOST, *self._plugins))
        return frozenset(
            plugin_id for plugin_id, decision in decided if decision.allowed or decision.code == "PLUGIN_QUARANTINED"
        )

    def _decisions(self, facts: TenantSnapshot) -> dict[str, Decision]:
        entry = self._kept.get(id(facts))
        if entry is None or entry.changes != self._quarantine.changes:
            entry = self._kept[id(facts)] = _Kept(facts, self._quarantine.changes, {HOST: _HOST_DECISION})
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return entry.decisions

    def _decide(self, facts: TenantSnapshot, plugin: LoadedPlugin) -> Decision:
        steps = [f'plugin "{plugin.id}" {plugin.manifest.version} is loaded']

        def no(code: str, reason: str) -> Decision:
            return Decision(False, reason, (*steps, reason), code)

        if plugin.default == "always":
            steps.append("this deployment has it always on")
        else:
            if not self._plans.allows(facts.plan, plugin.id):
                return no("PLAN_REQUIRED", f'the plan "{facts.plan}" does not include it')
            steps.append(f'the plan "{facts.plan}" includes it')
            on, why = _switch(facts, plugin)
            if not on:
                return no("PLUGIN_DISABLED", why)
            steps.append(why)
        for required in plugin.requires:
            needed = self.decide(facts, required)
            if not needed.allowed:
                return no(needed.code, f'it requires "{required}", and there: {needed.reason}')
            steps.append(f'"{required}", which it requires, is on')
        if reason := self._quarantine.reason(plugin.id):
            return no("PLUGIN_QUARANTINED", f"it is in quarantine: {reason}")
        steps.append("it is not in quarantine")
        return Decision(True, "it is on", tuple(steps))


def _switch(facts: TenantSnapshot, plugin: LoadedPlugin) -> tuple[bool, str]:
    state = facts.switches.get(plugin.id)
    if state is None:
        return (
            plugin.default == "on",
            f"the organisation has not switched it, the deployment's default is {plugin.default}",
        )
    if state is ActivationState.TURNING_ON:
        return False, "the organisation has switched it on, which is not finished yet"
    if state is ActivationState.TURNING_OFF:
        return False, "the organisation is switching it off"
    return state is ActivationState.ON, f"the organisation has switched it {state.value}"
