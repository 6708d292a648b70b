"""`/operator/plugins` endpoints: the plugins' states in every process, the time they take, and re-arming them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from host.errors import Conflict, NotFound
from host.plugin_states import ProcessState, answered, ask_to_rearm, process_states
from host.provisioning import provisioning
from host.registry.loading import LoadedPlugin
from host.services import measured, services, unit_of_work
from host.web.routes import Routes

HOOK_TIME = "tenantry_hook_duration_seconds"

routes = Routes()
State = Literal["loaded", "quarantined"]


class HookTime(BaseModel):
    """How often a hook of a plugin was called on this machine, and the seconds that it took together."""

    calls: int
    seconds: float


class PluginInProcess(BaseModel):
    """A plugin's state in one process. until_restart: it did not finish loading there, so re-arming cannot help."""

    process: str
    state: State
    why: str = ""
    until_restart: bool = False


class PluginState(BaseModel):
    """A plugin as operators see it. state: "quarantined" if it is so in any process; why: the reason there.

    load_seconds: how long importing it and its `register_*` hooks took in the process that answers.
    """

    id: str
    name: str
    version: str
    source: str
    default: str
    state: State
    why: str
    load_seconds: float
    hooks: dict[str, HookTime]
    processes: list[PluginInProcess]


@routes.get(
    "/operator/plugins", name="operator.plugins.list", operator=True, needs_tenant=False, returns=list[PluginState]
)
async def list_plugins() -> list[PluginState]:
    """Every plugin that is loaded here, its state in every process, and the time it has taken."""
    states, times = await process_states(services().redis_client), await _times()
    return [_shown(plugin, states, times.get(plugin.id, {})) for plugin in provisioning().registry.plugins]


@routes.post(
    "/operator/plugins/<plugin_id>/rearm",
    name="operator.plugins.rearm",
    operator=True,
    needs_tenant=False,
    returns=PluginState,
)
async def rearm_plugin(plugin_id: str) -> PluginState:
    """Take a plugin out of quarantine in every process.

    It is started there again; where that fails, it stays in quarantine with the new reason. The answer comes when every
    process has tried, after 5 seconds at the latest.
    """
    plugin = provisioning().registry.plugin(plugin_id)
    if plugin is None:
        raise NotFound("No such plugin is loaded here.")
    redis_client = services().redis_client
    held = [state.held[plugin_id] for state in await process_states(redis_client) if plugin_id in state.held]
    if not held:
        raise Conflict("This plugin is in quarantine in no process.")
    why = held[0].reason
    if all(entry.until_restart for entry in held):
        raise Conflict("This plugin did not finish loading: correct the cause and restart.", details={"why": why})
    async with unit_of_work() as work:
        work.record("operator.plugins.rearm", "plugin", plugin_id, after={"was": why, "processes": len(held)})
        request = await ask_to_rearm(redis_client, plugin_id)
    await answered(redis_client, plugin_id, request)
    return _shown(plugin, await process_states(redis_client), (await _times()).get(plugin_id, {}))


async def _times() -> Mapping[str, dict[str, HookTime]]:
    """The time in hooks in all processes of this machine, by plugin and hook."""
    families = await asyncio.to_thread(list, (await measured()).collect())
    [samples] = [family.samples for family in families if family.name == HOOK_TIME] or [[]]
    seconds = {(s.labels["plugin"], s.labels["hook"]): s.value for s in samples if s.name == f"{HOOK_TIME}_sum"}
    times: dict[str, dict[str, HookTime]] = {}
    for sample in samples:
        if sample.name == f"{HOOK_TIME}_count":
            plugin, hook = sample.labels["plugin"], sample.labels["hook"]
            times.setdefault(plugin, {})[hook] = HookTime(calls=int(sample.value), seconds=seconds[plugin, hook])
    return times


def _shown(plugin: LoadedPlugin, states: Sequence[ProcessState], hooks: dict[str, HookTime]) -> PluginState:
    processes = [_in_process(plugin.id, state) for state in states]
    held = [entry for entry in processes if entry.state == "quarantined"]
    return PluginState(
        id=plugin.id,
        name=plugin.manifest.name,
        version=str(plugin.manifest.version),
        source=plugin.source,
        default=plugin.default,
        state="quarantined" if held else "loaded",
        why=held[0].why if held else "",
        load_seconds=plugin.load_seconds,
        hooks=hooks,
        processes=processes,
    )


def _in_process(plugin_id: str, state: ProcessState) -> PluginInProcess:
    held = state.held.get(plugin_id)
    if held is None:
        return PluginInProcess(process=state.process, state="loaded")
    return PluginInProcess(
        process=state.process, state="quarantined", why=held.reason, until_restart=held.until_restart
    )
