"""Transactions on PostgreSQL: the tenant is set with the BEGIN, and again whenever another is bound within."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any, cast

from tortoise.backends.asyncpg.client import TransactionWrapper
from tortoise.backends.base.client import NestedTransactionContext, TransactionContext
from tortoise.backends.base_postgres.client import translate_exceptions
from tortoise.connection import get_connections
from tortoise.exceptions import TransactionManagementError

from host.data.postgres_pool import PostgresClient
from host.data.postgres_scope import Bound, bound_now, settings, switch
from host.data.statement import Statement

_savepoints = count(1)


class _Root:
    """What a transaction and its savepoints share: whom the database was told of, and whether it is over."""

    __slots__ = ("bound", "finished", "lock")

    def __init__(self) -> None:
        self.bound: Bound = None
        self.finished = False
        self.lock = asyncio.Lock()


class _Turn:
    """The transaction's connection for one statement, told of the tenant first if another is bound now."""

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
            bound = bound_now()
            if bound != root.bound:
                await self.client._connection.execute(switch(bound))
                root.bound = bound
        except BaseException:
            root.lock.release()
            raise
        return self.client._connection

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.client.root.lock.release()


class PostgresTransaction(TransactionWrapper, PostgresClient):
    """One open transaction, or a savepoint within it."""

    def __init__(self, parent: PostgresClient, connection: Any = None, root: _Root | None = None) -> None:
        super().__init__(parent)
        self._connection = connection
        self.root = root or _Root()
        self._savepoint = ""

    def acquire_connection(self) -> Any:
        return _Turn(self)

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(PostgresTransaction(self, self._connection, self.root))

    @translate_exceptions
    async def begin(self) -> None:
        self.root.bound = bound_now()
        await self._connection.execute("BEGIN" + settings(self.root.bound))

    @translate_exceptions
    async def commit(self) -> None:
        self._end()
        await self._connection.execute("COMMIT")

    @translate_exceptions
    async def rollback(self) -> None:
        self._end()
        await self._connection.execute("ROLLBACK")

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
        # Not through _Turn: in a failed transaction no statement but this one is allowed, and the rollback also
        # takes back who was set after the savepoint, so the next statement has to say it again.
        async with self.root.lock:
            await self._connection.execute(f"ROLLBACK TO SAVEPOINT {self._savepoint}")
            self.root.bound = "unknown"
        self._finalized = True

    @translate_exceptions
    async def rows(self, statement: Statement, values: Sequence[Any]) -> Sequence[Any]:
        async with self.acquire_connection() as connection:
            return cast(Sequence[Any], await connection.fetch(statement.inside, *values))


class Transaction(TransactionContext):
    """Opens a transaction and makes it the connection of the current task; leak-free under cancellation."""

    def __init__(self, parent: PostgresClient) -> None:
        self._parent = parent

    async def __aenter__(self) -> PostgresTransaction:
        connection = await self._parent.take()
        self.client: PostgresTransaction = PostgresTransaction(self._parent, connection)
        try:
            await self.client.begin()
        except BaseException:
            await self._parent.abandon(connection)
            raise
        self._token = get_connections().set(self._parent.connection_name, self.client)
        return self.client

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: object, tb: object) -> None:
        get_connections().reset(self._token)
        client, connection = self.client, self.client._connection
        if client.root.finished:  # ended by hand
            await self._parent.give_back(connection)
            return
        if exc_type is not None:
            client._end()
            await self._parent.abandon(connection)
            return
        try:
            await client.commit()
        except BaseException:
            await self._parent.abandon(connection)
            raise
        await self._parent.give_back(connection, idle=True)
