"""Background tasks: seal entries, delete those past their retention, erase a person's data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from host.sdk import DAILY_CLEAN_UP, Task, TenantMissing, in_system_tenant, tenant, unit_of_work

from . import erasure, retention, sealing


async def seal() -> None:
    """Seal the bound tenant's entries, or the host's own, whose old entries are pruned as well."""
    if not await _in_a_log(sealing.seal):
        with in_system_tenant():
            await retention.prune()


async def prune() -> None:
    """Remove entries of the bound tenant that are older than its plan keeps them."""
    await sealing.seal()
    await retention.prune()


async def erase(user_id: UUID) -> None:
    """Erase a person's data from the log of the bound tenant, or from the host's own."""
    erased = 0

    async def run() -> None:
        nonlocal erased
        erased = await erasure.erase(user_id)

    await _in_a_log(run)
    async with unit_of_work() as work:
        work.record("audit.erasures.finish", "user", user_id, after={"entries": erased})


async def _in_a_log(run: Callable[[], Awaitable[object]]) -> bool:
    """Run it in the bound tenant's log, else in the host's own; returns whether a tenant was bound."""
    try:
        await tenant()
    except TenantMissing:
        with in_system_tenant():
            await run()
        return False
    await run()
    return True


TASKS = (
    Task(
        "seal",
        seal,
        "Seal entries of the audit log",
        timeout=3600,
        tries=10,
        every=timedelta(hours=1),
        any_tenant_state=True,
    ),
    Task(
        "prune",
        prune,
        "Remove entries that are too old for the plan",
        timeout=3600,
        at=DAILY_CLEAN_UP,
        any_tenant_state=True,
    ),
    Task(
        "erase",
        erase,
        "Erase a person's data from the audit log",
        timeout=3600,
        tries=10,
        any_tenant_state=True,
    ),
)
