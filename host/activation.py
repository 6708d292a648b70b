"""Switch a plugin on or off for a tenant, tell the plugin, and finish interrupted switches after a crash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from host.contracts import TenantInfo
from host.errors import Conflict, NotFound, PlanRequired
from host.execution_context import as_plugin, in_tenant
from host.registry.registry import Registry
from host.services import services, tenant_snapshot, unit_of_work
from tenants.models import Activation, ActivationState
from tenants.snapshots import TenantSnapshot

REPAIR_AFTER = timedelta(seconds=30)
"""Time after a switch began at which a durable job checks that it was finished."""


async def tell(registry: Registry, hook: str, facts: TenantSnapshot, plugins: Iterable[str]) -> None:
    """Tell plugins of something that happened to a tenant, in that tenant; what one raises comes through."""
    info = TenantInfo(id=facts.id, slug=facts.slug, name=facts.name, plan=facts.plan, timezone=facts.timezone)
    with in_tenant(facts):
        for plugin in plugins:
            with as_plugin(plugin):
                await registry.hook_calls.tell(hook, info, plugins=(plugin,), raising=True)


@dataclass(frozen=True, slots=True)
class Activations:
    """Turns plugins on and off for the bound tenant."""

    registry: Registry

    async def switch(self, plugin: str, enabled: bool, *, cascade: bool = False) -> list[str]:
        """Turn a plugin on or off for the bound tenant.

        Returns:
            the ids switched, in the order they were.

        Raises:
            NotFound: not loaded here. PlanRequired: not in the plan. Conflict: always on here, a requirement is
            off, a dependant is on (unless `cascade`), or the plugin refused to be activated.
        """
        loaded = self.registry.plugin(plugin)
        if loaded is None:
            raise NotFound(f"This deployment has no plugin {plugin!r}.")
        if loaded.default == "always":
            if enabled:
                return []
            raise Conflict(f"{plugin} is always on in this deployment.")
        facts = await tenant_snapshot()
        if enabled and not services().plans.allows(facts.plan, plugin):
            raise PlanRequired(f"The plan {facts.plan} does not include {plugin}.", details={"plugin": plugin})
        order = self._to_switch(facts, plugin, enabled, cascade)
        for plugin_id in order:
            await self._begin(plugin_id, enabled)
            await self.finish(plugin_id)
        return order

    async def finish(self, plugin: str) -> None:
        """Tell a plugin about the switch that was begun, and close it; repeated by a job after a crash."""
        row = await Activation.get_or_none(plugin=plugin)
        if row is None or row.state not in (ActivationState.TURNING_ON, ActivationState.TURNING_OFF):
            return
        facts = await tenant_snapshot()
        turning_on = row.state == ActivationState.TURNING_ON
        outcome = ActivationState.ON if turning_on else ActivationState.OFF
        problem: Exception | None = None
        try:
            await tell(self.registry, "on_activated" if turning_on else "on_deactivated", facts, (plugin,))
        except Exception as error:
            problem = error
            outcome = ActivationState.OFF
        async with unit_of_work() as work:
            await Activation.filter(plugin=plugin, state=row.state).update(state=outcome)
            verb = "enable" if outcome == ActivationState.ON else "disable"
            work.record(f"tenant.plugins.{verb}", "plugin", plugin, after={"state": outcome.value})
            work.touch(tenant=row.tenant_id)
        if outcome == ActivationState.ON:
            await services().job_store.unpark(plugin, row.tenant_id)
        else:
            await services().job_store.park_waiting(plugin, row.tenant_id, f"{plugin} is switched off")
        if problem is not None and turning_on:
            raise Conflict(f"{plugin} could not be activated: {problem}", details={"plugin": plugin}) from problem

    def _to_switch(self, facts: TenantSnapshot, plugin: str, enabled: bool, cascade: bool) -> list[str]:
        active = self.registry.feature_gate.active(facts)
        loaded = self.registry.plugin(plugin)
        assert loaded is not None  # switch() has looked
        if enabled:
            missing = [each for each in loaded.requires if each not in active]
            if missing:
                raise Conflict(f"{plugin} needs {', '.join(missing)} switched on first.", details={"requires": missing})
            return [plugin]
        dependants = [each.id for each in self.registry.plugins if plugin in each.requires and each.id in active]
        if dependants and not cascade:
            raise Conflict(
                f"{', '.join(dependants)} needs {plugin}; switch that off first, or send cascade: true.",
                details={"required_by": dependants},
            )
        order: list[str] = []
        for dependant in dependants:
            order += [each for each in self._to_switch(facts, dependant, False, True) if each not in order]
        return [*order, plugin]

    async def _begin(self, plugin: str, enabled: bool) -> None:
        state = ActivationState.TURNING_ON if enabled else ActivationState.TURNING_OFF
        async with unit_of_work() as work:
            row, _ = await Activation.get_or_create(plugin=plugin)
            row.state = state
            await row.save(update_fields=["state", "updated_at"])
            due = datetime.now(UTC) + REPAIR_AFTER
            await work.enqueue("host.finish_switch", run_at=due, plugin_id=plugin)
            work.touch(tenant=row.tenant_id)
