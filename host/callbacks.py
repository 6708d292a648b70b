"""Callbacks that let services ask about plugins without importing the registry."""

from __future__ import annotations

from uuid import UUID

from host.cache.versions import Versions
from host.contracts import API_BASE, Action, Decision
from host.errors import ApiError, NotFound, PluginQuarantined
from host.execution_context import NOBODY, ExecutionContext, execution_context, use_context
from host.jobs.job_store import origin_of
from host.jobs.models import Job
from host.jobs.paused_tasks import PausedTasks
from host.jobs.schedule import ScheduledTenant
from host.member_access import MemberAccess
from host.registry.kinds import TASKS
from host.registry.registry import Registry
from host.services import record_failure
from tenants.context import bind
from tenants.lifecycle import closed
from tenants.models import Tenant
from tenants.snapshots import Snapshots, TenantSnapshot


class PluginCallbacks:
    """Answers for transactions, jobs and events, from the registry and the tenants' snapshots."""

    def __init__(self, registry: Registry, versions: Versions, paused_tasks: PausedTasks) -> None:
        self._registry, self.versions, self.paused_tasks = registry, versions, paused_tasks
        self.access = MemberAccess(registry, lambda: self.snapshots)
        self.snapshots = Snapshots(complete=self.access.complete, generation=lambda: registry.quarantine.changes)

    async def snapshot_of(self, tenant_id: UUID) -> TenantSnapshot | None:
        """A tenant's snapshot, as fresh as a request would have it; None where there is no such tenant."""
        return await self.snapshots.tenant(tenant_id, await self.versions.of_tenant(tenant_id))

    async def may_run(self, tenant_id: UUID | None, task: str) -> Decision:
        """Whether jobs of a task may run in a tenant now; the host's own may unless an operator has paused them."""
        if reason := await self.paused_tasks.reason(task):
            return Decision(False, reason)
        plugin = task.partition(".")[0]
        if plugin == "host":
            return Decision(True, "it belongs to the host")
        if tenant_id is None:
            loaded = self._registry.plugin(plugin) is not None and plugin not in self._registry.quarantine
            return Decision(loaded, "it is loaded" if loaded else f"{plugin} is not loaded or in quarantine")
        facts = await self.snapshot_of(tenant_id)
        if facts is None:
            return Decision(True, "the tenant is gone; the runner closes the job")
        declared = self._registry.catalog.named(TASKS).get(task)
        if declared is not None and declared.any_tenant_state:
            held = self._registry.quarantine.reason(plugin)
            return Decision(held is None, f"{plugin} is in quarantine: {held}" if held else "it is owed in any state")
        if state := closed(facts.status):
            return Decision(False, f"the organisation is {state}")
        return self._registry.feature_gate.decide(facts, plugin)

    async def enter(self, tenant_id: UUID, plugin: str, any_state: bool) -> TenantSnapshot | None:
        """The snapshot of a tenant that a plugin may act in now; None where it may not.

        any_state: only that the tenant exists counts.

        Raises:
            PluginQuarantined: with any_state, the plugin is in quarantine.
        """
        if any_state and (reason := self._registry.quarantine.reason(plugin)):
            raise PluginQuarantined(f"{plugin} is in quarantine: {reason}", details={"plugin": plugin})
        allowed = any_state or (await self.may_run(tenant_id, plugin)).allowed
        return await self.snapshot_of(tenant_id) if allowed else None

    def hears(self, tenant_id: UUID | None, plugin: str) -> bool:
        """Whether a plugin listens in the bound tenant."""
        facts = execution_context().tenant
        if tenant_id is None or facts is None or facts.id != tenant_id:
            return True
        return self._registry.feature_gate.decide(facts, plugin).allowed

    def missing(self, path: str) -> ApiError:
        """The error for a path without a route; it says so if the path's plugin could not be loaded."""
        area = path.removeprefix(f"{API_BASE}/").partition("/")[0]
        reason = self._registry.quarantine.reason(area)
        if reason is None:
            return NotFound("There is nothing at this address.")
        return PluginQuarantined(f"{area} is in quarantine: {reason}", details={"plugin": area})

    async def tell(self, action: Action) -> None:
        """Tell the plugins that are on; of a succeeded action inside its transaction, where raising undoes it."""
        plugins = None
        if action.tenant_id is not None:
            facts = execution_context().tenant
            if facts is None or facts.id != action.tenant_id:
                facts = await self.snapshots.tenant(action.tenant_id, None)
            listening = self._registry.hook_calls.implementers("on_action")
            plugins = self._registry.feature_gate.active(facts, listening) if facts is not None else frozenset()
        with bind(action.tenant_id):
            await self._registry.hook_calls.tell("on_action", action, plugins=plugins, raising=True)

    async def job_failed(self, job: Job, error: str) -> None:
        """Tell plugins that a job failed for good, in its tenant and as an action of the job itself."""
        facts = await self.snapshot_of(job.tenant_id) if job.tenant_id is not None else None
        if job.tenant_id is None or facts is not None:  # else its tenant is gone
            with use_context(ExecutionContext(origin_of(job), facts, NOBODY, job.plugin)):
                await record_failure(job.task, error, resource_type="job", resource_id=str(job.id))


async def all_tenants() -> list[ScheduledTenant]:
    """Every tenant, with its time zone; which of them a schedule runs in is asked for each."""
    return [ScheduledTenant(*row) async for row in Tenant.all().values_list("id", "timezone", "created_at")]
