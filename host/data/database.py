"""Open the SQLite or PostgreSQL database and bind it around each request, job and command."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext, _current_context
from tortoise.models import Model

from host.app_context import app_context, enter_app
from host.data.postgres_pool import PostgresClient
from host.data.postgres_transactions import PostgresTransaction
from host.data.sqlite import SqliteClient, SqliteTransaction
from host.errors import ConfigurationError
from tenants.scoping import TenantModel

Client = PostgresClient | SqliteClient
Dialect = Literal["sqlite", "postgres"]

SERVING_ROLE = "tenantry_app"
"""The PostgreSQL role that serves where one login does both; it owns nothing and cannot bypass row-level security."""

_NUMBERED = re.compile(r"\$(\d+)")


def bound() -> Database:
    """The database bound to the current task.

    Raises:
        RuntimeError: none is bound.
    """
    database = app_context().database
    if database is None:
        raise RuntimeError("no database is bound here: wrap the call in `with database.bind():`")
    return cast(Database, database)


class Database:
    """A database. Several may be open in one process, as long as those in use at once have the same dialect.

    url: `postgres://…`, or "" for the SQLite file at `path`. owner_url: the login that owns the tables; "" means the
    one in `url`, which then serves as the role `tenantry_app`. pool: connections. timeout: seconds a statement may
    take. pooler: whether a pooler in transaction mode is in front of PostgreSQL. apps: label -> modules holding its
    models, in dependency order. migrations: label -> package of its migrations. cursor_key: signs the cursors of lists.
    """

    def __init__(
        self,
        url: str = "",
        *,
        path: Path | None = None,
        owner_url: str = "",
        pool: int = 10,
        timeout: float = 30.0,
        pooler: bool = False,
        apps: Mapping[str, Sequence[ModuleType | str]],
        migrations: Mapping[str, str] | None = None,
        cursor_key: bytes = b"",
    ) -> None:
        if url and urlsplit(url).scheme not in {"postgres", "postgresql"}:
            raise ConfigurationError(
                f"[database] url begins with {urlsplit(url).scheme!r}: write postgres://user:password@host/name, "
                'or "" for the embedded SQLite file'
            )
        if not url and path is None:
            raise ConfigurationError("without [database] url a path for the SQLite file is needed")
        self.dialect: Dialect = "postgres" if url else "sqlite"
        self.path = path
        self.pool = pool
        self.timeout = timeout
        self.pooler = pooler
        self.apps = {
            label: tuple(each if isinstance(each, str) else each.__name__ for each in modules)
            for label, modules in apps.items()
        }
        self.migrations = dict(migrations or {})
        self.cursor_key = cursor_key
        self.one_login = not owner_url or owner_url == url
        self._url = url
        self._owner_url = owner_url or url
        self._context: TortoiseContext | None = None

    async def open(self) -> None:
        """Load the models. Connections are made when first needed; `ping` tells whether they can be."""
        self._context = await self._start(self._serving_credentials())

    async def close(self) -> None:
        """Close every connection."""
        if self._context is not None:
            context, self._context = self._context, None
            await context.close_connections()

    def bind(self) -> AbstractContextManager[None]:
        """Make this the database of the current task, and of tasks it starts, for the block.

        Raises:
            RuntimeError: it is not open.
        """
        here = app_context()
        return nullcontext() if here.database is self else enter_app(replace(here, database=self))

    @asynccontextmanager
    async def owner(self, *, foreign_keys: bool = True, patience: float | None = None) -> AsyncIterator[Client]:
        """A connection of the tables' owner, made the current one for the block: for migrations, never for serving.

        It bypasses row-level security. foreign_keys: False lets SQLite rebuild tables without cascades.
        patience: seconds to wait for another writer of the SQLite file; statements in PostgreSQL are not limited.
        """
        context = await self._start(self._owner_credentials(foreign_keys, patience))
        try:
            with enter_app(replace(app_context(), database=None), context):
                yield self._client_of(context)
        finally:
            await context.close_connections()

    @property
    def context(self) -> TortoiseContext:
        """The ORM's own state of this database.

        Raises:
            RuntimeError: it is not open.
        """
        if self._context is None:
            raise RuntimeError("the database is not open: `await database.open()` first")
        return self._context

    @property
    def client(self) -> Client:
        """The engine's client: the open transaction's, where the current task is in one."""
        return self._client_of(self.context)

    @property
    def in_transaction(self) -> bool:
        """Whether the current task is in a transaction."""
        return isinstance(self.client, PostgresTransaction | SqliteTransaction)

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """Run the block in the open transaction, or in a new one. Never wait for an outside service in it."""
        client = self.client
        if isinstance(client, PostgresTransaction | SqliteTransaction):
            return nullcontext()
        return cast(AbstractAsyncContextManager[object], client._in_transaction())

    def models(self) -> tuple[type[Model], ...]:
        """Every registered model, in the order of the apps."""
        apps = self.context.apps
        return tuple(apps.get_models_iterable()) if apps is not None else ()

    def tenant_models(self) -> tuple[type[TenantModel], ...]:
        """Every registered model whose rows belong to tenants."""
        return tuple(model for model in self.models() if issubclass(model, TenantModel))

    async def ping(self) -> None:
        """Check that the database answers, and that row-level security applies to this process.

        Raises:
            Unavailable: the database does not answer. ConfigurationError: row-level security does not apply.
        """
        if self.dialect == "sqlite":
            await self.fetch("SELECT 1 AS alive")
            return
        rows = await self.fetch(
            "SELECT rolname::text AS name, rolsuper OR rolbypassrls AS free FROM pg_roles WHERE rolname = current_user"
        )
        if rows[0]["free"] or rows[0]["name"] != self.serving_login():
            raise ConfigurationError(
                f"this process uses the database as {rows[0]['name']}, to which row-level security does not apply: "
                f"it must be {self.serving_login()}, with NOSUPERUSER NOBYPASSRLS"
            )

    async def fetch(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Rows of a hand-written query with `$1`-style parameters; for the host only, plugins use models."""
        with self.bind():
            rows: list[dict[str, Any]] = await self.client.execute_query_dict(self._spelt(sql), list(values))
            return rows

    async def execute(self, sql: str, *values: object) -> int:
        """Run a hand-written statement with `$1`-style parameters; returns the row count. Host only."""
        with self.bind():
            touched, _ = await self.client.execute_query(self._spelt(sql), list(values))
            return int(touched)

    def _spelt(self, sql: str) -> str:
        return sql if self.dialect == "postgres" else _NUMBERED.sub(r"?\1", sql)

    async def _start(self, credentials: Mapping[str, Any]) -> TortoiseContext:
        config = {
            # The connection's name is the dialect's: the ORM caches SQL under that name for the whole process.
            "connections": {self.dialect: {"engine": f"host.data.{self.dialect}", "credentials": dict(credentials)}},
            "apps": self.apps_config(),
            "use_tz": True,
            "timezone": "UTC",
        }
        context = TortoiseContext()
        token = _current_context.set(context)
        try:
            await context.init(config=config)
        finally:
            _current_context.reset(token)
        return context

    def apps_config(self) -> dict[str, dict[str, Any]]:
        """The apps as the ORM's configuration names them."""
        return {
            label: {
                "models": list(modules),
                "default_connection": self.dialect,
                **({"migrations": self.migrations[label]} if label in self.migrations else {}),
            }
            for label, modules in self.apps.items()
            if modules
        }

    def _client_of(self, context: TortoiseContext) -> Client:
        # Straight from the ORM's storage: its own `get` checks on each call whether the event loop is still the same.
        client: BaseDBAsyncClient | None = context.connections._get_storage().get(self.dialect)
        if client is None:
            client = context.connections.get(self.dialect)
        assert isinstance(client, PostgresClient | SqliteClient)
        return client

    def _serving_credentials(self) -> Mapping[str, Any]:
        if self.dialect == "sqlite":
            return {"file_path": str(self.path), "timeout": self.timeout}
        role, maxsize = self.serving_login(), self.pool
        return {"dsn": self._url, "role": role, "timeout": self.timeout, "maxsize": maxsize, **self._pooled()}

    def _owner_credentials(self, foreign_keys: bool, patience: float | None) -> Mapping[str, Any]:
        if self.dialect == "sqlite":
            timeout = self.timeout if patience is None else patience
            return {"file_path": str(self.path), "timeout": timeout, "foreign_keys": foreign_keys}
        return {"dsn": self._owner_url, "timeout": 0.0, "maxsize": 2, **(self._pooled() if self.one_login else {})}

    def _pooled(self) -> Mapping[str, Any]:
        return {"transactions_only": True} if self.pooler else {}

    def serving_login(self) -> str:
        """The PostgreSQL role of this process: `tenantry_app`, or the login of `url` when there is a separate owner."""
        if self.one_login:
            return SERVING_ROLE
        return unquote(urlsplit(self._url).username or "") or SERVING_ROLE
