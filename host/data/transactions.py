"""The unit of work: one transaction around one action, with its audit record, events and jobs.

Never wait for anything outside the database inside one (Stripe, a mail server, a model): it holds a pooled connection
and, with SQLite, blocks every other writer. Enqueue a job, or use `after_commit`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from uuid import UUID

from tortoise.exceptions import TransactionManagementError
from uuid_utils.compat import uuid7

from host.contracts import Action, Event
from host.data.database import Database
from host.execution_context import origin
from host.jobs.catalog import JobDraft
from tenants.context import current_or_none

_log = logging.getLogger("host.data")

AfterCommit = Callable[[], Awaitable[None]]


class UnitOfWork:
    """Changes that are committed together or not at all. Created by `Transactions.begin`.

    Example:
        async def _record(work: UnitOfWork, note: Row) -> None:
            work.record("notes.notes.create", "note", str(note["id"]), after=note)
            work.announce(NoteWritten(note_id=note["id"]))
            await work.enqueue("notes.index", note_id=str(note["id"]))
    """

    def __init__(self, jobs_for: Callable[[Event], Sequence[JobDraft]]) -> None:
        self._jobs_for = jobs_for
        self._open = True
        self.actions: list[Action] = []
        self.jobs: list[JobDraft] = []
        self.events: list[Event] = []
        self.tenants: set[UUID] = set()
        self.users: set[UUID] = set()
        self.tags: set[str] = set()
        self.tell: AfterCommit | None = None  # tells of `tenants`, `users` and `tags`
        self.callbacks: list[AfterCommit] = []

    def record(
        self,
        name: str,
        resource_type: str,
        resource_id: object,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        public: Collection[str] = (),
        secret: Collection[str] = (),
    ) -> None:
        """Record an action, named `<area>.<resource>.<verb>`. Plugins get it in `on_action` before the commit.

        before, after: the changed fields only, secrets left out. public, secret: names of fields, at any depth, that
        are to be shown or hidden whatever their values; for other fields it is guessed from name and value.
        """
        self._check_open()
        action = Action(
            name=name,
            resource_type=resource_type,
            resource_id=str(resource_id),
            outcome="succeeded",
            before=dict(before or {}),
            after=dict(after or {}),
            origin=origin(),
            at=datetime.now(UTC),
            tenant_id=current_or_none(),
            public=frozenset(public),
            secret=frozenset(secret),
        )
        self.actions.append(action)

    def announce(self, event: Event) -> None:
        """Publish an event to its listeners, each in a durable job of the bound tenant, after the commit."""
        self._check_open()
        self.jobs.extend(self._jobs_for(event))
        self.events.append(event)

    async def enqueue(
        self,
        task: str,
        *,
        run_at: datetime | None = None,
        key: str | None = None,
        priority: int = 0,
        job_id: UUID | None = None,
        replace: bool = False,
        **arguments: Any,
    ) -> UUID:
        """Enqueue a job of `<plugin>.<task>` in the bound tenant, stored with this commit; returns the job's id.

        run_at: not before (UTC). key: at most one job on record per tenant, task and key. priority: lower runs first;
            above 0 it can wait, below 0 it is urgent: each worker reserves slots for jobs that cannot wait.
        job_id: the id of the thing that the job is about, so that it has one job at most. replace: an older one of this
            id is replaced, whatever its state; without it the older one stays, and this one is dropped.
        arguments: JSON-able plain values; ids, never objects.
        """
        self._check_open()
        when = run_at or datetime.now(UTC)
        draft = JobDraft(
            task=task,
            tenant_id=current_or_none(),
            arguments=arguments,
            run_at=when,
            key=key,
            priority=priority,
            id=job_id or uuid7(),
            replace=replace,
        )
        self.jobs.append(draft)
        return draft.id

    def touch(self, *, tenant: UUID | None = None, user: UUID | None = None) -> None:
        """Mark a tenant or a person as changed: caches drop them after the commit."""
        self._check_open()
        if tenant is not None:
            self.tenants.add(tenant)
        if user is not None:
            self.users.add(user)

    def drop_tags(self, *keys: str) -> None:
        """Outdate computed values by the keys of their tags, after the commit; plugins call `host.sdk.drop_tags`."""
        self._check_open()
        self.tags.update(keys)

    def after_commit(self, callback: AfterCommit) -> None:
        """Run this once everything is committed; what it raises is logged and changes nothing."""
        self._check_open()
        self.callbacks.append(callback)

    def _check_open(self) -> None:
        if not self._open:
            raise TransactionManagementError("this unit of work is over: begin another one")

    def _close(self) -> None:
        self._open = False


# A variable of its own, as units of work begin and end many times within one request or job.
_current: ContextVar[UnitOfWork | None] = ContextVar("unit_of_work", default=None)


class Transactions:
    """Begins units of work on a database.

    tell: sends an action to plugins, inside the transaction; raising undoes it. jobs_for: returns an event's jobs.
    store_jobs: writes jobs, inside the transaction. push: hands stored jobs to the queue, after it. touched: records
    changed (tenants, users, tags), inside it; the callback it returns tells caches, after it. announced: gets the
    published events, after it.
    """

    def __init__(  # noqa: PLR0917 - callbacks of one kind, passed by name in one place
        self,
        database: Database,
        tell: Callable[[Action], Awaitable[None]],
        jobs_for: Callable[[Event], Sequence[JobDraft]],
        store_jobs: Callable[[Sequence[JobDraft]], Awaitable[None]],
        push: Callable[[Sequence[JobDraft]], Awaitable[None]],
        touched: Callable[[set[UUID], set[UUID], set[str]], Awaitable[AfterCommit]],
        announced: Callable[[Sequence[Event]], None] = lambda events: None,
    ) -> None:
        self._database = database
        self._tell = tell
        self._jobs_for = jobs_for
        self._store_jobs = store_jobs
        self._push = push
        self._touched = touched
        self._announced = announced

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """One transaction; inside another of the same task, the same one goes on and the outer end commits.

        At the end: plugins are told of each action, jobs are stored, COMMIT; then caches are told, jobs are pushed,
        and the callbacks run. Any exception before the COMMIT undoes everything.
        """
        outer = _current.get()
        if outer is None:
            return _Begun(self)
        outer._check_open()
        return nullcontext(outer)

    def after_commit(self, callback: AfterCommit) -> bool:
        """Run this after the commit of the open unit of work; returns False, and does nothing, where none is open."""
        work = _current.get()
        if work is not None:
            work.after_commit(callback)
        return work is not None

    async def tell_alone(self, action: Action) -> None:
        """Tell plugins of an action that was denied or failed, in a transaction of its own."""
        async with self.begin():
            await self._tell(action)

    def start(self) -> tuple[UnitOfWork, AbstractAsyncContextManager[object]]:
        """A new unit of work, and the transaction for it, not yet begun."""
        if self._database.in_transaction:  # the commit would not be its own, so nothing could run after it
            raise TransactionManagementError("begin the unit of work outside, not within a bare transaction")
        return UnitOfWork(self._jobs_for), self._database.transaction()

    async def finish(self, work: UnitOfWork) -> None:
        """What precedes the COMMIT, in its transaction: plugins are told of the actions, jobs are stored."""
        actions = tuple(work.actions)
        for action in actions:
            await self._tell(action)
        if len(work.actions) > len(actions):
            raise TransactionManagementError("on_action must not record an action: it would be called for that one too")
        if work.jobs:
            await self._store_jobs(work.jobs)
        if work.tenants or work.users or work.tags:
            work.tell = await self._touched(work.tenants, work.users, work.tags)

    async def after(self, work: UnitOfWork) -> None:
        """What follows the COMMIT: whoever waits for the changes is told; what fails here is logged."""
        if work.events:
            self._announced(work.events)
        if work.tell or work.jobs or work.callbacks:
            await asyncio.shield(self._after(work))

    async def _after(self, work: UnitOfWork) -> None:
        steps: list[AfterCommit] = []
        if work.tell is not None:
            steps.append(work.tell)
        if work.jobs:
            steps.append(lambda: self._push(work.jobs))
        for step in (*steps, *work.callbacks):
            try:
                await step()
            except Exception:
                _log.exception("after the commit: %r failed; the committed changes stay", step)


class _Begun:
    """The block of a unit of work that joins no other. A class, not a generator: every write enters one."""

    __slots__ = ("_token", "_transaction", "_transactions", "_work")

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def __aenter__(self) -> UnitOfWork:
        self._work, self._transaction = self._transactions.start()
        await self._transaction.__aenter__()
        self._token = _current.set(self._work)
        return self._work

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._transactions.finish(self._work)
        except BaseException as failure:
            self._leave()
            await self._transaction.__aexit__(type(failure), failure, failure.__traceback__)
            raise
        self._leave()
        await self._transaction.__aexit__(kind, error, trace)
        if error is None:
            await self._transactions.after(self._work)

    def _leave(self) -> None:
        self._work._close()
        _current.reset(self._token)
