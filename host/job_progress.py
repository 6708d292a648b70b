"""Say how far the running job is: noted with the job, and sent at once to whoever follows it."""

from __future__ import annotations

from host.contracts import LiveChannel
from host.errors import Unavailable
from host.jobs.executor import job_id, note_progress
from host.live_channels import live
from tenants.context import current_or_none

JOBS = LiveChannel("host.jobs", "How far a job is; the key is its id", history=10, seconds=60)


async def report_progress(fraction: float) -> None:
    """Say how far the running job is, 0..1; does nothing outside a job, and where several run together.

    Example:
        await report_progress(done / total)
    """
    await note_progress(fraction)
    job = job_id()
    if job is not None and current_or_none() is not None:
        try:
            await live(JOBS.name).publish(str(job), "progress", fraction)
        except Unavailable:
            return  # followers also look at the job itself
