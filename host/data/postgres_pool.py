"""The pool of PostgreSQL connections; every statement runs with the bound tenant set for its transaction only.

With a tenant bound (or `cross_tenant` in force), a statement outside a transaction gets a small one of its own; with
nothing bound it runs without, and row-level security shows it no tenant's rows. `Statement.alone` saves round trips:
it sets the tenant and reads in one autocommitted statement. Behind a pooler in transaction mode, where settings of a
connection do not last, every statement runs in a transaction that sets all of them.

Own classes over asyncpg's pool and the ORM's client, as those know no bound tenant, and a transaction around each
statement to set one costs 90 us of CPU and three round trips instead of 42 us and one
(`python -m benchmarks.own_code postgres`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import lru_cache, wraps
from time import perf_counter
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

import asyncpg  # type: ignore[import-untyped]
from tortoise.backends.asyncpg.client import AsyncpgDBClient
from tortoise.exceptions import IntegrityError, OperationalError, TransactionManagementError

from host.data.postgres_scope import SYSTEM, Bound, bound_now, local, settings
from host.data.statement import Insert, Statement, together
from host.data.telemetry import observed
from host.errors import ConfigurationError, Unavailable
from host.instruments import elapsed
from tenants.context import WrongTenant

P = ParamSpec("P")
T = TypeVar("T")

_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,  # the server's shutdown message arrived before this use of the connection
)
# A statement prepared on one server connection was used on another, which only happens behind a pooler.
_OTHERS_STATEMENT = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
_CONNECT_TIMEOUT = 10.0  # seconds
_ROLE_LOST = "connection uses another role than the serving role that row-level security applies to"
_POOLER = (
    "if a pooler is in between (PgBouncer, Supavisor, pgcat), set pooler = true in [database] "
    "(TENANTRY_DATABASE__POOLER=true), and let owner_url, where there is one, lead past it"
)


class WrongRole(Unavailable):
    """A connection does not use the serving role, so nothing is read or written over it."""

    default_message = f"The database {_ROLE_LOST}."


def raise_translated(exc: Exception) -> NoReturn:
    """Raise the ORM's or our own error for one of the driver's, and any other as it is."""
    match exc:
        case asyncpg.SyntaxOrAccessError() | asyncpg.DataError():
            if "violates row-level security" in str(exc):
                raise WrongTenant(str(exc)) from exc
            if isinstance(exc, _OTHERS_STATEMENT):
                raise ConfigurationError(f"the database's connections are shared by a pooler: {_POOLER}") from exc
            raise OperationalError(exc) from exc
        case asyncpg.IntegrityConstraintViolationError():
            raise IntegrityError(exc) from exc
        case asyncpg.InvalidTransactionStateError():
            raise TransactionManagementError(exc) from exc
        case asyncpg.QueryCanceledError():
            raise Unavailable("The database took too long to answer.") from exc
        case asyncpg.TransactionRollbackError():  # deadlock, serialization
            raise Unavailable("This collided with another change; try again.") from exc
    # "connection is closed", "pool is closing": the class alone is not specific enough
    if isinstance(exc, _AWAY) or (isinstance(exc, asyncpg.InterfaceError) and "is clos" in str(exc)):
        raise Unavailable(f"The database is away: {exc}") from exc
    raise exc


def translating(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """`raise_translated` what a method raises; the ORM's decorator of the same purpose makes three coroutines."""

    @wraps(work)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await work(*args, **kwargs)
        except Exception as exc:
            raise_translated(exc)

    return translated


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A pooled connection. No setting outlives a transaction, so returning it needs no round trip to the server."""

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's own signature
        """Nothing, but for a transaction that is still open, which ends here."""
        if self.is_in_transaction():
            await super().reset(timeout=timeout)

    def get_reset_query(self) -> str:
        return ""

    def fetch(self, query: str, *values: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        return observed(query, "postgresql", super().fetch(query, *values, **options))

    def fetchrow(self, query: str, *values: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        return observed(query, "postgresql", super().fetchrow(query, *values, **options))

    def execute(self, query: str, *values: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        return observed(query, "postgresql", super().execute(query, *values, **options))

    def executemany(self, query: str, values: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        return observed(query, "postgresql", super().executemany(query, values, **options))


class _Lease:
    """One pooled connection for one statement, inside a small transaction where a tenant is bound."""

    __slots__ = ("client", "connection", "opened")

    def __init__(self, client: PostgresClient) -> None:
        self.client = client
        self.opened = False

    async def __aenter__(self) -> Any:
        bound = bound_now()
        self.connection = await self.client.take()
        if bound is not None or self.client.transactions_only:
            try:
                await self.client.open_transaction(self.connection, bound)
            except BaseException:
                await self.client.abandon(self.connection)
                raise
            self.opened = True
        return self.connection

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: object, tb: object) -> None:
        if not self.opened:
            await self.client.give_back(self.connection, idle=exc_type is None)
        elif exc_type is not None:
            await self.client.abandon(self.connection)
        else:
            try:
                await self.connection.execute("COMMIT")
            except BaseException:
                await self.client.abandon(self.connection)
                raise
            await self.client.give_back(self.connection, idle=True)


class PostgresClient(AsyncpgDBClient):
    """A pool of connections that serve as `role`, or as the login itself where that is "" (the tables' owner)."""

    def __init__(
        self,
        dsn: str,
        *,
        connection_name: str,
        role: str = "",
        timeout: float = 30.0,
        maxsize: int = 10,
        transactions_only: bool = False,
    ) -> None:
        """timeout: seconds a statement may take; 0 for no limit. transactions_only: see `[database] pooler`."""
        super().__init__(connection_name=connection_name, maxsize=maxsize)
        self._dsn = dsn
        self._role = role
        self.transactions_only = transactions_only
        self._settings = {
            "statement_timeout": str(int(timeout * 1000)),
            "idle_in_transaction_session_timeout": str(int(timeout * 2000)),
            "jit": "off",
            **({SYSTEM: "on"} if role else {}),
        }
        become = local({"role": role} if role else {})
        self._begin = "BEGIN" + (local(self._settings) if transactions_only else "") + become

    async def create_connection(self, with_db: bool = True) -> None:
        """Open the pool.

        Raises:
            ConfigurationError: the serving role does not exist, or the login may not become it.
            Unavailable: the server cannot be reached.
        """
        started = {"application_name": "tenantry"}
        if not self.transactions_only:
            started |= self._settings | ({"role": self._role} if self._role else {})
        try:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self.pool_maxsize,
                connection_class=_Connection,
                max_queries=2**31,  # a working connection is not replaced because of its age
                statement_cache_size=0 if self.transactions_only else 256,
                max_cached_statement_lifetime=0,
                server_settings=started,
                timeout=_CONNECT_TIMEOUT,
                init=None if self.transactions_only or not self._role else self._assert_role,
            )
        except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError) as exc:
            raise ConfigurationError(
                f"the database refuses the serving role {self._role!r} ({exc}): run `tenantry migrate`, which creates "
                "it, or create it by hand and grant it to the login in [database] url"
            ) from exc
        except WrongRole as exc:
            raise ConfigurationError(f"the database {_ROLE_LOST}: {_POOLER}") from exc
        except _AWAY as exc:
            if "startup parameter" in str(exc):
                raise ConfigurationError(
                    f"the database refuses the settings of a new connection ({exc}): {_POOLER}"
                ) from exc
            raise Unavailable(f"The database cannot be reached: {exc}") from exc
        await self._post_connect()

    async def _assert_role(self, connection: Any) -> None:
        """Check that a new connection has the serving role, which a pooler may have dropped.

        Raises:
            WrongRole: it has another one.
        """
        try:
            name = await connection.fetchval("SELECT current_user::text")
        except _OTHERS_STATEMENT as exc:
            raise WrongRole from exc
        if name != self._role:
            raise WrongRole

    async def open_transaction(self, connection: Any, bound: Bound) -> None:
        """Begin a transaction as the serving role and set the bound tenant, in one round trip.

        Raises:
            WrongRole: the login may not become the serving role.
        """
        try:
            await connection.execute(self._begin + settings(bound))
        except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError) as exc:
            raise WrongRole from exc

    def connections(self) -> tuple[int, int]:
        """How many connections are open, and how many of them idle."""
        pool = self._pool
        return (pool.get_size(), pool.get_idle_size()) if pool is not None else (0, 0)

    async def take(self) -> Any:
        """A connection from the pool, which is opened first if necessary."""
        if self._pool is None:
            async with self._pool_init_lock:
                if self._pool is None:
                    await self.create_connection()
        began = perf_counter()
        try:
            return await cast(Any, self._pool).acquire()
        except _AWAY as exc:
            raise Unavailable(f"The database is away: {exc}") from exc
        finally:
            elapsed("tenantry_database_pool_wait_seconds", (), began)

    async def give_back(self, connection: Any, *, idle: bool = False) -> None:
        """Return a connection that is in no transaction; `idle`: its last statement succeeded.

        asyncpg returns a connection in a task of its own, so that a cancelled caller cannot interrupt it. An idle
        connection needs no waiting, and the task would cost a quarter of a short query.
        """
        if self._pool is None:
            return
        if idle:
            await connection._holder.release(None)
        else:
            await self._pool.release(connection)

    async def abandon(self, connection: Any) -> None:
        """Roll back and return a connection, whatever state it is in; finishes even if the caller is cancelled."""
        await asyncio.shield(self._abandon(connection))

    async def _abandon(self, connection: Any) -> None:
        # A broken connection returns to the pool by itself, and every later use raises InterfaceError, which must not
        # replace the original error.
        try:
            if not connection.is_closed():
                await connection.execute("ROLLBACK", timeout=10)
        except Exception:  # the connection is beyond use: the pool replaces it
            with suppress(asyncpg.InterfaceError):
                connection.terminate()
        with suppress(asyncpg.InterfaceError):
            await self.give_back(connection)

    def acquire_connection(self) -> Any:
        return _Lease(self)

    async def _translate_exceptions(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Called by the ORM around its own statements."""
        try:
            return await func(self, *args, **kwargs)
        except Exception as exc:
            raise_translated(exc)

    @translating
    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        async with self.acquire_connection() as connection:
            await connection.executemany(query, values)  # asyncpg makes it atomic

    @translating
    async def rows(self, statement: Statement, values: Sequence[Any]) -> Sequence[Any]:
        """Run a statement of the bound tenant; `values[0]` is the tenant's id. One round trip where possible."""
        if statement.alone is None or self.transactions_only:
            async with self.acquire_connection() as connection:
                return cast(Sequence[Any], await connection.fetch(statement.inside, *values))
        connection = await self.take()
        try:
            rows: Sequence[Any] = await connection.fetch(statement.alone, *values)
        except BaseException:
            await self.give_back(connection)
            raise
        await self.give_back(connection, idle=True)
        return rows

    async def insert_later(self, insert: Insert) -> bool:
        """Whether the row was accepted to be written later; always False outside a transaction."""
        return False


async def fetch_together(connection: Any, inserts: Sequence[Insert]) -> None:
    """Write rows of one tenant with one statement."""
    statements = tuple(insert.statement for insert in inserts)
    widths = tuple(len(insert.values) for insert in inserts)
    values = [value for insert in inserts for value in insert.values[1:]]
    await connection.fetch(_together(statements, widths), inserts[0].values[0], *values)


_together = lru_cache(maxsize=1000)(together)
