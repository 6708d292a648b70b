"""The courier: carries a job to its task, in the job's tenant and in the name of whoever started it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from host.contracts import Task
from host.jobs.arguments import typed
from host.jobs.ledger import Ledger, origin_of
from host.jobs.models import Job
from host.jobs.outcomes import GiveUp
from host.origin import NOBODY, Standing, standing_as
from tenants.facts import TenantFacts

FactsOf = Callable[[UUID], Awaitable[TenantFacts | None]]


@dataclass(frozen=True, slots=True)
class _Errand:
    job: Job
    ledger: Ledger


_errand: ContextVar[_Errand | None] = ContextVar("errand", default=None)


class Courier:
    """Binds tenant, origin and plugin around a run."""

    def __init__(self, ledger: Ledger, facts_of: FactsOf) -> None:
        """facts_of: what is known of a tenant; None when it does not exist (any more)."""
        self._ledger = ledger
        self._facts_of = facts_of

    async def carry(self, job: Job, task: Task) -> None:
        """Run the task.

        Raises:
            GiveUp: the tenant is gone, or the stored arguments do not fit the task.
            Exception: whatever the task raises.
        """
        facts = None
        if job.tenant_id is not None:
            facts = await self._facts_of(job.tenant_id)
            if facts is None:
                raise GiveUp(f"the tenant {job.tenant_id} does not exist any more")
        arguments = typed(task.run, job.arguments)
        token = _errand.set(_Errand(job, self._ledger))
        try:
            with standing_as(Standing(origin_of(job), facts, NOBODY, job.plugin)):
                await _contained(task.run(**arguments))
        finally:
            _errand.reset(token)


async def _contained(work: Awaitable[object]) -> None:
    try:
        await work
    except (SystemExit, KeyboardInterrupt) as leaving:  # asyncio would end the whole process with these
        raise RuntimeError(f"the task raised {leaving!r}") from leaving


async def report_progress(fraction: float) -> None:
    """Note how far the running job is, 0..1; does nothing outside a job."""
    errand = _errand.get()
    if errand is not None:
        await errand.ledger.report(errand.job, fraction)
