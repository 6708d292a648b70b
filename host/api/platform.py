"""`/health`, `/ready` and `/version` endpoints: liveness, readiness and version numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from importlib.metadata import version

from host.contracts import Answer, PublicCache, Row
from host.provisioning import provisioning
from host.registry.kinds import HEALTH_CHECKS
from host.services import services
from host.web.routes import Routes

routes = Routes()
PART_TIMEOUT = 2.0
"""Seconds that the check of one part may take."""


@routes.get("/health", name="platform.health", public=True, needs_tenant=False)
async def health() -> Row:
    """Answers as long as the process can answer at all."""
    return {"status": "ok"}


@routes.get("/version", name="platform.version", public=True, needs_tenant=False, cache=PublicCache(60))
async def read_version() -> Row:
    """The host's version and the plugins' versions."""
    plugins = provisioning().registry.plugins
    return {"version": version("tenantry"), "plugins": {plugin.id: str(plugin.manifest.version) for plugin in plugins}}


@routes.get("/ready", name="platform.ready", public=True, needs_tenant=False)
async def ready() -> Answer:
    """Can it do its work?

    200 when database and Redis answer, else 503; plugins' own checks are listed and do not decide.
    """
    application = services()
    parts = {
        "database": application.database.ping(),
        "redis": application.redis_client.ping(),
        "storage": application.storage.ping(),
    }
    required = dict(zip(parts, await asyncio.gather(*map(_failure, parts.values())), strict=True))
    registry = provisioning().registry
    checks = {f"{plugin}.{health.name}": health.check() for plugin, health in registry.catalog.all(HEALTH_CHECKS)}
    optional = dict(zip(checks, await asyncio.gather(*map(_reported_problem, checks.values())), strict=True))
    optional |= {entry.plugin: f"in quarantine: {entry.reason}" for entry in registry.quarantine}
    is_ready = all(problem is None for problem in required.values())
    listed = {name: {"ok": problem is None, "problem": problem} for name, problem in (required | optional).items()}
    return Answer({"status": "ready" if is_ready else "unavailable", "parts": listed}, status=200 if is_ready else 503)


async def _failure(check: Awaitable[object]) -> str | None:
    try:
        await asyncio.wait_for(check, PART_TIMEOUT)
    except Exception as error:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    return None


async def _reported_problem(check: Awaitable[str | None]) -> str | None:
    try:
        return await asyncio.wait_for(check, PART_TIMEOUT)
    except Exception as error:
        return f"{type(error).__name__}: {error}".rstrip(": ")
