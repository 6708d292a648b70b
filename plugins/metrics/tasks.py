"""Background task that moves each tenant's use from Redis to the database."""

from __future__ import annotations

from datetime import timedelta

from host.sdk import Task

from . import service


async def roll_up() -> None:
    """Store the bound tenant's use since the last run."""
    await service.roll_up()


TASKS = (Task("roll_up", roll_up, "Keep an organisation's use of the last hour", every=timedelta(hours=1)),)
