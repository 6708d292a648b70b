"""Transactions and savepoints on PostgreSQL, opened when first needed and always set to the bound tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count, groupby
from typing import Any, cast
from uuid import UUID

from tortoise.backends.asyncpg.client import TransactionWrapper
from tortoise.backends.base.client import NestedTransactionContext, TransactionContext
from tortoise.connection import get_connections
from tortoise.exceptions import TransactionManagementError

from host.data.postgres_pool import PostgresClient, fetch_together, translating
from host.data.postgres_scope import Bound, bound_now, switch
from host.data.statement import Insert, Statement

_savepoints = count(1)
_TOGETHER = 100  # rows written with one statement; PostgreSQL takes 65,535 parameters


class TransactionState:
    """The state that a transaction shares with its savepoints: its connection and the rows still to be written.

    A connection is taken, and BEGIN sent, with the first statement that needs it. Until then reads are autocommitted,
    which at READ COMMITTED is the same; rows to insert wait for the next statement or the end, and if nothing else is
    written, one statement writes them all and no transaction is opened.
    """

    __slots__ = ("begun", "bound", "connection", "finished", "later", "lock", "pool")

    def __init__(self, pool: PostgresClient) -> None:
        self.pool = pool
        self.connection: Any = None
        self.begun = False
        self.bound: Bound = None
        self.finished = False
        self.later: list[Insert] = []
        self.lock = asyncio.Lock()

    async def taken(self) -> Any:
        """The connection, taken from the pool when it is first needed and kept to the end."""
        if self.connection is None:
            self.connection = await self.pool.take()
        return self.connection

    async def begin(self) -> None:
        """Send BEGIN, unless that was done."""
        if not self.begun:
            bound = bound_now()
            await self.pool.open_transaction(await self.taken(), bound)
            self.begun, self.bound = True, bound

    async def tell(self, bound: Bound) -> None:
        """Set the bound tenant in the database, if another one is set there."""
        if bound != self.bound:
            await self.connection.execute(switch(bound))
            self.bound = bound

    async def write(self) -> None:
        """Write the rows that wait, in the open transaction."""
        inserts, self.later = self.later, []
        for rows in _of_one_tenant(inserts):
            await self.tell(cast(UUID, rows[0].values[0]))
            await fetch_together(self.connection, rows)


def _of_one_tenant(inserts: Sequence[Insert]) -> Iterator[list[Insert]]:
    for _, run in groupby(inserts, key=lambda insert: insert.values[0]):
        rows = list(run)
        for start in range(0, len(rows), _TOGETHER):
            yield rows[start : start + _TOGETHER]


class StatementLease:
    """The transaction's connection for one statement, with the bound tenant set first if it has changed."""

    __slots__ = ("client",)

    def __init__(self, client: PostgresTransaction) -> None:
        self.client = client

    async def __aenter__(self) -> Any:
        root = self.client.root
        await root.lock.acquire()
        try:
            if root.finished:
                raise TransactionManagementError(
                    "this transaction is over: a task that outlives it must be started in a context of its own"
                )
            await root.begin()
            await root.write()
            await root.tell(bound_now())
        except BaseException:
            root.lock.release()
            raise
        return root.connection

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.client.root.lock.release()


class PostgresTransaction(TransactionWrapper, PostgresClient):
    """One open transaction, or a savepoint within it."""

    def __init__(self, parent: PostgresClient, root: TransactionState | None = None) -> None:
        super().__init__(parent)
        self.root = root or TransactionState(parent)
        self._savepoint = ""

    def acquire_connection(self) -> Any:
        return StatementLease(self)

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(PostgresTransaction(self, self.root))

    @translating
    async def begin(self) -> None:
        await self.root.begin()

    @translating
    async def commit(self) -> None:
        """Write the waiting rows and commit; one round trip if nothing else was written."""
        root = self.root
        async with root.lock:
            runs = list(_of_one_tenant(root.later))
            if not root.begun and len(runs) > (0 if root.pool.transactions_only else 1):
                await root.begin()
            if root.begun:
                await root.write()
                self._end()
                await root.connection.execute("COMMIT")
            else:
                self._end()
                if runs:
                    await fetch_together(await root.taken(), runs[0])

    @translating
    async def rollback(self) -> None:
        self._end()
        self.root.later.clear()
        if self.root.begun:
            await self.root.connection.execute("ROLLBACK")

    def _end(self) -> None:
        if self.root.finished:
            raise TransactionManagementError("this transaction is over already")
        self.root.finished = self._finalized = True

    async def savepoint(self) -> None:
        self._savepoint = f"s{next(_savepoints)}"
        await self.execute_script(f"SAVEPOINT {self._savepoint}")

    async def release_savepoint(self) -> None:
        await self.execute_script(f"RELEASE SAVEPOINT {self._savepoint}")
        self._finalized = True

    async def savepoint_rollback(self) -> None:
        # Not through StatementLease: a failed transaction allows no statement but this one, and the rollback also
        # undoes a tenant set after the savepoint, so the next statement has to set it again.
        async with self.root.lock:
            self.root.later.clear()  # `savepoint` wrote what was there before it
            await self.root.connection.execute(f"ROLLBACK TO SAVEPOINT {self._savepoint}")
            self.root.bound = "unknown"
        self._finalized = True

    @translating
    async def rows(self, statement: Statement, values: Sequence[Any]) -> Sequence[Any]:
        root = self.root
        together = root.begun or root.later or root.finished or root.pool.transactions_only
        if statement.reads and not together:
            async with root.lock:
                if not root.begun:
                    return cast(Sequence[Any], await (await root.taken()).fetch(statement.alone, *values))
        async with self.acquire_connection() as connection:
            return cast(Sequence[Any], await connection.fetch(statement.inside, *values))

    async def insert_later(self, insert: Insert) -> bool:
        """Accept a row, to be written with the next statement or at the end."""
        if self.root.finished:
            return False
        self.root.later.append(insert)
        return True


class Transaction(TransactionContext):
    """Makes a transaction the connection of the current task; releases it even under cancellation."""

    def __init__(self, parent: PostgresClient) -> None:
        self._parent = parent

    async def __aenter__(self) -> PostgresTransaction:
        self.client: PostgresTransaction = PostgresTransaction(self._parent)
        self._token = get_connections().set(self._parent.connection_name, self.client)
        return self.client

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: object, tb: object) -> None:
        get_connections().reset(self._token)
        root = self.client.root
        if root.finished:  # ended by hand
            if root.connection is not None:
                await self._parent.give_back(root.connection)
            return
        try:
            if exc_type is not None:
                self.client._end()
            else:
                await self.client.commit()
        except BaseException:
            await self._leave(root, failed=True)
            raise
        await self._leave(root, failed=exc_type is not None)

    async def _leave(self, root: TransactionState, *, failed: bool) -> None:
        if root.connection is None:
            return
        if failed:
            await self._parent.abandon(root.connection)
        else:
            await self._parent.give_back(root.connection, idle=True)
