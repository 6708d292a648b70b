"""The PostgreSQL engine: every statement runs with the bound tenant set for its own transaction only.

With a tenant bound (or `across` in force), a statement outside a transaction gets a small one of its own; with
nothing bound it runs plain, and row-level security shows it no tenant's rows. `Statement.alone` is the short way:
one trip that sets the tenant and reads within a single autocommitted statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, cast
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import NestedTransactionContext, TransactionContext
from tortoise.backends.base_postgres.client import translate_exceptions
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError, TransactionManagementError

from host.data.statement import Statement
from host.errors import ConfigurationError, Unavailable
from tenants.context import WrongTenant, current_or_none, is_across

_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
_CONNECT_TIMEOUT = 10.0  # seconds
_savepoints = count(1)

Bound = UUID | str | None
"""What the database has been told: a tenant's id, "across", or None."""


def _bound() -> Bound:
    return current_or_none() or ("across" if is_across() else None)


def _settings(bound: Bound) -> str:
    """SQL that tells the database who is bound; a UUID's text cannot carry anything but hex and dashes."""
    if bound is None:
        return ""
    return "; SET LOCAL app.across = 'on'" if bound == "across" else f"; SET LOCAL app.tenant_id = '{bound}'"


def _switch(bound: Bound) -> str:
    tenant = bound if isinstance(bound, UUID) else ""
    across = "on" if bound == "across" else ""
    return f"SET LOCAL app.tenant_id = '{tenant}'; SET LOCAL app.across = '{across}'"


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A pooled connection. Nothing here outlives a transaction, so giving it back costs no trip to the server."""

    def get_reset_query(self) -> str:
        return ""


class _Lease:
    """One pooled connection for one statement, inside a small transaction where a tenant is bound."""

    __slots__ = ("client", "connection", "opened")

    def __init__(self, client: PostgresClient) -> None:
        self.client = client
        self.opened = False

    async def __aenter__(self) -> Any:
        bound = _bound()
        self.connection = await self.client.take()
        if bound is not None:
            try:
                await self.connection.execute("BEGIN" + _settings(bound))
            except BaseException:
                await self.client.abandon(self.connection)
                raise
            self.opened = True
        return self.connection

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: object, tb: object) -> None:
        if not self.opened:
            await self.client.give_back(self.connection)
        elif exc_type is not None:
            await self.client.abandon(self.connection)
        else:
            try:
                await self.connection.execute("COMMIT")
            except BaseException:
                await self.client.abandon(self.connection)
                raise
            await self.client.give_back(self.connection)


class PostgresClient(AsyncpgDBClient):
    """A pool of connections that serve as `role` (or as the login itself, where there are two logins)."""

    def __init__(
        self, dsn: str, *, connection_name: str, role: str = "", timeout: float = 30.0, maxsize: int = 10
    ) -> None:
        """timeout: seconds a statement may take; 0 for no limit."""
        super().__init__(connection_name=connection_name, maxsize=maxsize)
        self._dsn = dsn
        self._role = role
        self._timeout = timeout

    async def create_connection(self, with_db: bool = True) -> None:
        """Open the pool.

        Raises:
            ConfigurationError: the serving role does not exist, or the login may not become it.
            Unavailable: the server cannot be reached.
        """
        settings = {
            "statement_timeout": str(int(self._timeout * 1000)),
            "idle_in_transaction_session_timeout": str(int(self._timeout * 2000)),
            "application_name": "tenantry",
            "jit": "off",
        }
        if self._role:
            settings["role"] = self._role
        try:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self.pool_maxsize,
                connection_class=_Connection,
                server_settings=settings,
                timeout=_CONNECT_TIMEOUT,
            )
        except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError) as exc:
            raise ConfigurationError(
                f"the database refuses the serving role {self._role!r} ({exc}): run `tenantry migrate`, which creates "
                "it, or create it by hand and grant it to the login in [database] url"
            ) from exc
        except _AWAY as exc:
            raise Unavailable(f"The database cannot be reached: {exc}") from exc
        await self._post_connect()

    async def take(self) -> Any:
        """A connection of the pool, opened first where need be."""
        if self._pool is None:
            async with self._pool_init_lock:
                if self._pool is None:
                    await self.create_connection()
        try:
            return await cast(Any, self._pool).acquire()
        except _AWAY as exc:
            raise Unavailable(f"The database is away: {exc}") from exc

    async def give_back(self, connection: Any) -> None:
        """Return a connection that is in no transaction."""
        if self._pool is not None:
            await self._pool.release(connection)

    async def abandon(self, connection: Any) -> None:
        """Roll back and return a connection, whatever state it is in; finishes even if the caller is cancelled."""
        await asyncio.shield(self._abandon(connection))

    async def _abandon(self, connection: Any) -> None:
        try:
            if not connection.is_closed():
                await connection.execute("ROLLBACK", timeout=10)
        except Exception:  # the connection is beyond use: the pool replaces it
            connection.terminate()
        await self.give_back(connection)

    def acquire_connection(self) -> Any:
        return _Lease(self)

    def _in_transaction(self) -> TransactionContext:
        return _Transaction(self)

    async def _translate_exceptions(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._translate_exceptions(func, *args, **kwargs)
        except OperationalError as exc:
            if "violates row-level security" in str(exc):
                raise WrongTenant(str(exc)) from exc
            raise
        except _AWAY as exc:
            raise Unavailable(f"The database is away: {exc}") from exc
        except asyncpg.QueryCanceledError as exc:
            raise Unavailable("The database took too long to answer.") from exc
        except asyncpg.TransactionRollbackError as exc:  # deadlock, serialization
            raise Unavailable("This collided with another change; try again.") from exc
        except asyncpg.InterfaceError as exc:
            if "is clos" in str(exc):  # "connection is closed", "pool is closing": the class alone says too little
                raise Unavailable(f"The database is away: {exc}") from exc
            raise

    @translate_exceptions
    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        async with self.acquire_connection() as connection:
            await connection.executemany(query, values)  # asyncpg makes it atomic by itself

    @translate_exceptions
    async def rows(self, statement: Statement, values: Sequence[Any]) -> Sequence[Any]:
        """Run a statement of the bound tenant; `values[0]` is the tenant's id. One trip where it can be."""
        if statement.alone is None:
            async with self.acquire_connection() as connection:
                return cast(Sequence[Any], await connection.fetch(statement.inside, *values))
        connection = await self.take()
        try:
            return cast(Sequence[Any], await connection.fetch(statement.alone, *values))
        finally:
            await self.give_back(connection)


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
            bound = _bound()
            if bound != root.bound:
                await self.client._connection.execute(_switch(bound))
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
        self.root.bound = _bound()
        await self._connection.execute("BEGIN" + _settings(self.root.bound))

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


class _Transaction(TransactionContext):
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
        await self._parent.give_back(connection)


client_class = PostgresClient
