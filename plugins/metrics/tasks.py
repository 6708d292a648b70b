"""Background work: keeps each organisation's use, which until then only Redis has."""

from __future__ import annotations

from datetime import timedelta

from host.sdk import Task

from . import service


async def roll_up() -> None:
    """Keep the bound tenant's use since the last time."""
    await service.roll_up()


TASKS = (Task("roll_up", roll_up, "Keep an organisation's use of the last hour", every=timedelta(hours=1)),)
