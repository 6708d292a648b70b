"""Tell all processes through Redis which plugins are in quarantine where, and re-arm plugins in every process.

Once a second a process writes what it holds in quarantine and reads, in the same round trip, which plugins an operator
has asked to re-arm. A request that it has not seen before is its turn to start that plugin again.

Keys: `p:processes` names the processes, `p:of:<process>` holds the state of one and expires with it, `p:rearm` the last
request for each plugin.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from uuid import uuid4

from pydantic import BaseModel

from host.cache.client import RedisClient
from host.errors import Unavailable
from host.periodic import Periodic
from host.registry.registry import Registry

EVERY = 1.0
"""Seconds between two reports of a process."""

SILENT = 45
"""Seconds after which a process that reports no more counts as gone: longer than a plugin may take to start."""

ANSWERED_WITHIN = 5.0
"""Seconds that an operator's request waits for the processes."""

_PROCESSES, _REARM = "p:processes", "p:rearm"
_log = logging.getLogger("host.plugin_states")


class Held(BaseModel):
    """A plugin in quarantine in one process. until_restart: it never finished loading, so it cannot be re-armed."""

    reason: str
    until_restart: bool


class ProcessState(BaseModel):
    """What one process reports. held: by plugin. answered: the last request to re-arm that it knows, by plugin."""

    process: str
    held: Mapping[str, Held]
    answered: Mapping[str, str]


class PluginStates:
    """Reports the plugins' states of this process, and answers requests to re-arm them."""

    def __init__(self, registry: Registry, redis_client: RedisClient) -> None:
        self._registry, self._redis_client = registry, redis_client
        self._process = uuid4().hex
        self._answered: Mapping[str, str] | None = None  # None: not read yet; what was asked for before is not for us
        self._reporting = Periodic(self.report, EVERY, _log, "the plugins' states are not reported", at_once=False)

    async def start(self) -> None:
        """Start to report; call it with the services bound, no tenant bound, and before plugins start."""
        await self._reporting.call()
        self._reporting.start()

    async def stop(self) -> None:
        """Stop, and remove what this process has reported."""
        if await self._reporting.stop():
            try:
                await self._redis_client.calls([("DEL", _key(self._process)), ("SREM", _PROCESSES, self._process)])
            except Unavailable:
                _log.debug("Redis is unavailable; this process is forgotten after %s seconds", SILENT)

    async def report(self) -> None:
        """Write this process's state, and re-arm what was asked for since the last report.

        Raises:
            Unavailable: Redis is away.
        """
        asked = await self._exchange()
        before, self._answered = asked if self._answered is None else self._answered, asked
        if new := [plugin for plugin, request in asked.items() if before.get(plugin) != request]:
            for plugin in new:
                await self._rearm(plugin)
            await self._exchange()

    async def _exchange(self) -> Mapping[str, str]:
        held = {
            entry.plugin: Held(reason=entry.reason, until_restart=entry.until_restart)
            for entry in self._registry.quarantine
        }
        state = ProcessState(process=self._process, held=held, answered=self._answered or {})
        *_, asked = await self._redis_client.calls(
            [
                ("SADD", _PROCESSES, self._process),
                ("SET", _key(self._process), state.model_dump_json(), "EX", SILENT),
                ("HGETALL", _REARM),
            ]
        )
        return {plugin.decode(): request.decode() for plugin, request in zip(asked[::2], asked[1::2], strict=True)}

    async def _rearm(self, plugin: str) -> None:
        try:
            for failure in await self._registry.rearm(plugin):
                _log.error("re-arming: %s", failure)
        except RuntimeError as error:
            _log.error("re-arming: %s", error)


async def process_states(redis_client: RedisClient) -> Sequence[ProcessState]:
    """What every running process has reported within the last second or so, in a stable order.

    Raises:
        Unavailable: Redis is away.
    """
    processes = sorted(name.decode() for name in await redis_client.call("SMEMBERS", _PROCESSES))
    states: list[bytes | None] = await redis_client.call("MGET", *map(_key, processes)) if processes else []
    gone = [process for process, state in zip(processes, states, strict=True) if state is None]
    if gone:
        await redis_client.call("SREM", _PROCESSES, *gone)
    return [ProcessState.model_validate_json(state) for state in states if state is not None]


async def ask_to_rearm(redis_client: RedisClient, plugin: str) -> str:
    """Ask every process to put a plugin back into service; returns the request's id.

    Raises:
        Unavailable: Redis is away; nobody was asked.
    """
    request = uuid4().hex
    await redis_client.call("HSET", _REARM, plugin, request)
    return request


async def answered(redis_client: RedisClient, plugin: str, request: str) -> None:
    """Wait until every running process has answered a request, for `ANSWERED_WITHIN` seconds at most."""
    try:
        async with asyncio.timeout(ANSWERED_WITHIN):
            while True:
                states = await process_states(redis_client)
                if all(state.answered.get(plugin) == request for state in states):
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        return


def _key(process: str) -> str:
    return f"p:of:{process}"
