"""The tables of background jobs (`Job`) and of tasks that operators have paused (`PausedTask`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model
from uuid_utils.compat import uuid7


class JobState(StrEnum):
    """scheduled: waits for its time. queued: due. running: leased by a worker. parked: may not run now, see `error`.

    done, failed and cancelled are final, until an operator retries.
    """

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARKED = "parked"


class Job(Model):
    """One accepted piece of work; written in the transaction that asked for it, so it is never lost.

    No TenantModel: the runner reads jobs before any tenant is bound. Plugins never see this table.
    """

    id = fields.UUIDField(primary_key=True, default=uuid7)
    task = fields.CharField(max_length=200)  # "<plugin>.<name>"
    plugin = fields.CharField(max_length=63)  # the task's first part, to park and un-park by
    tenant_id = fields.UUIDField(null=True)
    arguments: dict[str, Any] = fields.JSONField(default=dict)
    origin: dict[str, Any] = fields.JSONField(default=dict)
    state = fields.CharEnumField(JobState, max_length=16, default=JobState.QUEUED)
    # "<plugin>" or "<plugin>/<name>"; "": a worker's own places
    channel = fields.CharField(max_length=100, default="", db_default="")
    priority = fields.SmallIntField(default=0)  # lower runs first, as with nice(1); the index serves this order
    key = fields.CharField(max_length=255, null=True, unique=True)  # one job per key for as long as it is on record
    run_at = fields.DatetimeField()
    attempts = fields.IntField(default=0)  # tries begun
    tries = fields.IntField(default=0)  # tries allowed in all; 0: what the task says
    lease_until = fields.DatetimeField(null=True)  # running only: silence after this means the worker is dead
    worker = fields.CharField(max_length=64, null=True)
    error = fields.TextField(default="")  # why it failed, was parked or is being tried again
    progress = fields.FloatField(default=0.0)  # 0..1
    created_at = fields.DatetimeField(auto_now_add=True)
    started_at = fields.DatetimeField(null=True)
    finished_at = fields.DatetimeField(null=True)

    class Meta:
        table = "jobs"
        indexes = (
            Index(fields=("state", "channel", "priority", "tenant_id", "run_at"), name="jobs_next"),  # who is next
            Index(fields=("state", "run_at"), name="jobs_time"),
            Index(fields=("state", "lease_until"), name="jobs_lease"),
            Index(fields=("state", "finished_at"), name="jobs_finished"),
            Index(fields=("tenant_id", "plugin", "state"), name="jobs_owner"),
        )


class PausedTask(Model):
    """A task whose runs an operator holds back everywhere: its jobs are parked until it is resumed."""

    task = fields.CharField(max_length=200, primary_key=True)  # "<plugin>.<name>"
    reason = fields.TextField()
    paused_by = fields.CharField(max_length=320)  # for people: an operator's address, or the command line's user
    paused_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "paused_tasks"
