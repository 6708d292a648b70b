"""All tasks by "<plugin>.<task>", and drafts of jobs that are not stored yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from host.contracts import Origin, Task
from host.execution_context import origin as current_origin
from host.tracing import traceparent


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A job that is not stored yet.

    task: "<plugin>.<name>". arguments: JSON-able plain values. run_at: not before this time (UTC). key: at most one
    job per tenant, task and key on record; a second one is dropped without an error. priority: lower runs first.
    traceparent: the span that asks for it, as W3C Trace Context writes it; empty where nothing is traced.
    replace: delete a stored job with the same id first; a worker that runs it loses it.
    """

    task: str
    tenant_id: UUID | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    run_at: datetime = field(default_factory=_now)
    key: str | None = None
    priority: int = 0
    origin: Origin = field(default_factory=current_origin)
    id: UUID = field(default_factory=uuid7)
    traceparent: str = field(default_factory=traceparent)
    replace: bool = False

    @property
    def plugin(self) -> str:
        """The id of the plugin whose task this is."""
        return self.task.partition(".")[0]


class TaskCatalog(Mapping[str, Task]):
    """Every task of this process, by "<plugin>.<task>"; read-only."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Take the tasks as collected at the start.

        Raises:
            ValueError: a name is not "<plugin>.<task>", or a task's numbers make no sense.
        """
        for name, task in tasks.items():
            _check(name, task)
        self._tasks = dict(tasks)

    def __getitem__(self, name: str) -> Task:
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def channel_of(self, name: str) -> str:
        """The channel in which new jobs of a task wait until their own channel of the plugin is known; "" for none."""
        task = self._tasks.get(name)
        return name.partition(".")[0] if task is not None and task.channel is not None else ""

    def scheduled(self) -> Mapping[str, Task]:
        """The tasks that run on a schedule."""
        return {name: task for name, task in self._tasks.items() if task.every is not None or task.at}


def _check(name: str, task: Task) -> None:
    plugin, dot, rest = name.partition(".")
    if not (plugin and dot and rest):
        raise ValueError(f"task {name!r}: write it as <plugin>.<name>")
    if task.tries < 1 or task.timeout <= 0 or task.backoff < 0:
        raise ValueError(f"task {name!r}: tries must be at least 1, timeout above 0 and backoff not negative")
    if task.batch_size < 1:
        raise ValueError(f"task {name!r}: batch_size must be at least 1")
    if task.every is not None and task.every.total_seconds() < 1:
        raise ValueError(f"task {name!r}: every must be at least one second")
