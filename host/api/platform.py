"""`/health`, `/ready`, `/version`: is the host up, and which parts of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from importlib.metadata import version

from host.contracts import Answer, Row
from host.provisioning import provisioning
from host.services import services
from host.web.routes import Routes

routes = Routes()
PART_TIMEOUT = 2.0
"""Seconds a part may take to say that it is well."""


@routes.get("/health", name="platform.health", summary="Is the process up?", public=True, needs_tenant=False)
async def health() -> Row:
    """Answers as long as the process can answer at all."""
    return {"status": "ok"}


@routes.get("/version", name="platform.version", summary="Which version?", public=True, needs_tenant=False)
async def read_version() -> Row:
    """The host's version and the plugins' versions."""
    plugins = provisioning().registry.plugins
    return {"version": version("tenantry"), "plugins": {each.id: str(each.manifest.version) for each in plugins}}


@routes.get("/ready", name="platform.ready", summary="Can it do its work?", public=True, needs_tenant=False)
async def ready() -> Answer:
    """200 when database and Redis answer, else 503; plugins' own checks are listed and do not decide."""
    application = services()
    parts = {
        "database": application.database.ping(),
        "redis": application.redis_client.ping(),
        "storage": application.storage.ping(),
    }
    core = dict(zip(parts, await asyncio.gather(*map(_well, parts.values())), strict=True))
    registry = provisioning().registry
    checks = {f"{plugin}.{each.name}": each.check() for plugin, each in registry.catalog.health_checks}
    soft = dict(zip(checks, await asyncio.gather(*map(_says, checks.values())), strict=True))
    soft |= {held.plugin: f"in quarantine: {held.reason}" for held in registry.quarantine}
    well = all(problem is None for problem in core.values())
    listed = {name: {"ok": problem is None, "problem": problem} for name, problem in (core | soft).items()}
    return Answer({"status": "ready" if well else "unavailable", "parts": listed}, status=200 if well else 503)


async def _well(answer: Awaitable[object]) -> str | None:
    try:
        await asyncio.wait_for(answer, PART_TIMEOUT)
    except Exception as error:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    return None


async def _says(answer: Awaitable[str | None]) -> str | None:
    try:
        return await asyncio.wait_for(answer, PART_TIMEOUT)
    except Exception as error:
        return f"{type(error).__name__}: {error}".rstrip(": ")
