"""The SQLite engine: write-ahead log, foreign keys, waiting for other writers, and write transactions."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, cast

from tortoise.backends.base.client import NestedTransactionContext, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient as TortoiseClient
from tortoise.backends.sqlite.client import SqliteTransactionWrapper, translate_exceptions
from tortoise.connection import get_connections
from tortoise.exceptions import IntegrityError, TransactionManagementError

from host.data.full_text import WORDS, text_words
from host.data.statement import Insert, Statement
from host.data.telemetry import observed
from host.data.text_fold import text_fold
from host.errors import Unavailable
from host.instruments import timed
from host.settings.private import private_file
from tenants.text_columns import FOLD


class SqliteClient(TortoiseClient):
    """One connection, used by one statement or one transaction at a time.

    timeout: seconds to wait for another process that is writing.
    """

    def __init__(
        self, file_path: str, *, connection_name: str, timeout: float = 30.0, foreign_keys: bool = True
    ) -> None:
        super().__init__(
            file_path,
            connection_name=connection_name,
            # The busy time-out comes first: changing the journal mode of a file in use needs it.
            busy_timeout=int(timeout * 1000),
            journal_mode="WAL",
            synchronous="NORMAL",
            foreign_keys="ON" if foreign_keys else "OFF",
        )

    async def create_connection(self, with_db: bool = True) -> None:
        """Open the file.

        Raises:
            Unavailable: the file cannot be opened.
        """
        try:
            private_file(Path(self.filename))  # SQLite gives its -wal and -shm the same mode
            await super().create_connection(with_db)
            if self._connection is not None:
                await self._connection.create_function(FOLD, 1, text_fold, deterministic=True)
                await self._connection.create_function(WORDS, 1, text_words, deterministic=True)
        except OSError as exc:
            raise Unavailable(f"The database file {self.filename} cannot be opened: {exc}") from exc
        except sqlite3.OperationalError as exc:
            self._connection = None
            raise Unavailable(f"The database file {self.filename} cannot be opened: {exc}") from exc

    def _in_transaction(self) -> TransactionContext:
        return _Transaction(self)

    def execute_insert(self, query: str, values: list[Any]) -> Coroutine[Any, Any, Any]:
        return observed(query, "sqlite", super().execute_insert(query, values))

    def execute_many(self, query: str, values: list[list[Any]]) -> Coroutine[Any, Any, None]:
        return observed(query, "sqlite", super().execute_many(query, values))

    def execute_query(
        self, query: str, values: list[Any] | None = None
    ) -> Coroutine[Any, Any, tuple[int, Sequence[Any]]]:
        return observed(query, "sqlite", super().execute_query(query, values))

    def execute_query_dict(
        self, query: str, values: list[Any] | None = None
    ) -> Coroutine[Any, Any, list[dict[str, Any]]]:
        return observed(query, "sqlite", super().execute_query_dict(query, values))

    def rows(self, statement: Statement, values: Sequence[Any]) -> Coroutine[Any, Any, Sequence[Any]]:
        """Run a statement of the bound tenant; `values[0]` is the tenant's id as text."""
        return observed(statement.inside, "sqlite", self._rows(statement, values))

    @translate_exceptions
    async def _rows(self, statement: Statement, values: Sequence[Any]) -> Sequence[Any]:
        async with self.acquire_connection() as connection:
            return cast(Sequence[Any], await connection.execute_fetchall(statement.inside, values))

    async def insert_later(self, insert: Insert) -> bool:
        """Whether the row was accepted to be written later; always False, since SQLite has no round trips to save."""
        return False


class SqliteTransaction(SqliteTransactionWrapper, SqliteClient):
    """One open transaction, or a savepoint within it."""

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(SqliteTransaction(self))

    def execute_many(self, query: str, values: list[list[Any]]) -> Coroutine[Any, Any, None]:
        return observed(query, "sqlite", SqliteTransactionWrapper.execute_many(self, query, values))

    def acquire_connection(self) -> Any:
        if self._finalized:
            raise TransactionManagementError(
                "this transaction is over: a task that outlives it must be started in a context of its own"
            )
        return super().acquire_connection()

    async def execute_script(self, query: str) -> None:
        """Run several statements without leaving the transaction, as sqlite3's own `executescript` would."""
        statement = ""
        for piece in query.split(";")[:-1] if query.rstrip().endswith(";") else query.split(";"):
            statement += f"{piece};"
            if sqlite3.complete_statement(statement):  # not within a literal or a trigger's body
                await self.execute_query(statement)
                statement = ""

    async def begin(self) -> None:
        try:
            # IMMEDIATE: a transaction that begins as a reader and writes later fails at once when another process
            # wrote in between, whatever the time-out.
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as exc:
            raise Unavailable(f"The database is busy: {exc}") from exc


class _Transaction(TransactionContext):
    """Holds the connection for the length of a transaction; releases it even under cancellation."""

    def __init__(self, parent: SqliteClient) -> None:
        self._parent = parent

    async def __aenter__(self) -> SqliteTransaction:
        await timed("tenantry_database_pool_wait_seconds", (), self._parent._lock.acquire())
        try:
            if not self._parent._connection:
                await self._parent.create_connection()
            self.client: SqliteTransaction = SqliteTransaction(self._parent)
            await self.client.begin()
        except BaseException:
            # A cancelled BEGIN still runs in the connection's thread: the rollback queued after it undoes it.
            await asyncio.shield(self._roll_back())
            raise
        self._token = get_connections().set(self._parent.connection_name, self.client)
        return self.client

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: object, tb: object) -> None:
        get_connections().reset(self._token)
        if self.client._finalized:  # ended by hand
            self._parent._lock.release()
            return
        self.client._finalized = True
        if exc_type is not None:
            await asyncio.shield(self._roll_back())
            return
        await asyncio.shield(self._commit())

    async def _commit(self) -> None:
        try:
            await cast(Any, self._parent._connection).commit()
        except sqlite3.IntegrityError as exc:
            await self._roll_back()
            raise IntegrityError(exc) from exc
        except BaseException:
            await self._roll_back()
            raise
        self._parent._lock.release()

    async def _roll_back(self) -> None:
        try:
            if self._parent._connection:
                await self._parent._connection.rollback()
        finally:
            self._parent._lock.release()


client_class = SqliteClient
