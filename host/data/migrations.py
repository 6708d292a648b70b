"""Apply and undo the migrations of the host and of each plugin, one app at a time."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.migration import Migration
from tortoise.migrations.recorder import MigrationRecorder
from tortoise.migrations.schema_editor import AsyncpgSchemaEditor, BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State

from host.data import rls, rls_sqlite
from host.data.database import Client, Database
from host.data.migration_files import make, unmade
from host.data.postgres_pool import PostgresClient
from host.data.sort_key_rows import fill_sort_keys
from host.data.sqlite import SqliteClient
from host.data.sqlite_editor import KeepingSchemaEditor
from host.errors import ConfigurationError

Progress = Callable[[str, int, int], None]
"""Called before each step: its name (`app.0001_initial`), its number from 1, how many there are."""

_LOCK = 0x7E4A_4717  # the advisory lock that one migrating process holds
_TRY_AGAIN = 0.2  # seconds between a second process's attempts to take the lock
_PATIENCE = 600.0  # seconds a second process waits for SQLite's writer to finish migrating


@dataclass(frozen=True, slots=True)
class Step:
    """One migration to run, forwards or (`backward`) back."""

    app: str
    name: str
    backward: bool = False

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


class Migrations:
    """The migrations of a database's apps. Every call opens its own connection as the tables' owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending(self) -> list[Step]:
        """What `migrate` would run, in order."""
        async with self._executor() as run:
            return run.steps_forward(await run.applied())

    async def migrate(self, progress: Progress | None = None) -> list[Step]:
        """Run pending migrations, install row-level security, fill new sort keys; a second process then does nothing.

        SQLite: all or nothing. PostgreSQL: each migration with its record is one transaction.

        Raises:
            ConfigurationError: a migrations package is missing, or rows would link to rows that no longer exist.
        """
        async with self._alone() as run:
            steps = run.steps_forward(await run.applied())
            await run.run(steps, progress)
            migrated = [model for model in self._database.models() if model._meta.app in self._database.migrations]
            await fill_sort_keys(run.connection, migrated)
            return steps

    async def downgrade(self, app: str, to: str, progress: Progress | None = None) -> list[Step]:
        """Undo one app's migrations after `to` ("zero": all of them), newest first; no other app's.

        Raises:
            ConfigurationError: app or name is unknown, or another app's applied migration depends on them.
        """
        async with self._alone() as run:
            steps = run.steps_backward(await run.applied(), app, to)
            await run.run(steps, progress)
            return steps

    async def dry_run(self) -> str:
        """The SQL that `migrate` would run, without row-level security; "" when nothing is pending."""
        async with self._executor() as run:
            parts = []
            for step in run.steps_forward(await run.applied()):
                parts.append(f"-- {step}")
                parts += [_closed(line) for line in await run.collect_sql(step.app, step.name)]
            return "\n".join(parts)

    async def make(self, app: str, name: str = "") -> Path | None:
        """Write the next migration file of one app from its models; None when they have not changed.

        Raises:
            ConfigurationError: the app has no migrations package.
        """
        return await make(self._database, app, name)

    async def unmade(self) -> list[str]:
        """Model changes that no migration covers, one sentence per app: writes to its tables would fail."""
        changes_by_app = await unmade(self._database)
        return [
            f"models of {app} say what no migration does ({'; '.join(changes[:3])}): `tenantry migrate --make {app}`"
            for app, changes in changes_by_app.items()
        ]

    @asynccontextmanager
    async def _executor(self) -> AsyncIterator[_Executor]:
        async with self._database.owner() as client:
            yield await _Executor.load(client, self._database)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[_Executor]:
        """An executor that runs in one process at a time; row-level security is installed when it is done."""
        async with self._database.owner(foreign_keys=False, patience=_PATIENCE) as client:
            if isinstance(client, SqliteClient):
                async with client._in_transaction() as transaction:
                    assert isinstance(transaction, SqliteClient)
                    await rls_sqlite.lower(transaction)
                    run = await _Executor.load(transaction, self._database)
                    yield run
                    await _check_links(transaction)
                    await rls.secure_on(transaction, self._database, self._database.models())
            else:
                async with _advisory_lock(client):
                    run = await _Executor.load(client, self._database)
                    yield run
                    await rls.secure_on(client, self._database, self._database.models())


class _Executor(MigrationExecutor):
    """Tortoise's executor, run step by step: a migration and its record are one transaction."""

    def __init__(self, client: Client, database: Database) -> None:
        super().__init__(client, _migrated_apps(database))
        self._database = database

    @classmethod
    async def load(cls, client: Client, database: Database) -> _Executor:
        importlib.invalidate_caches()
        run = cls(client, database)
        try:
            await run.loader.build_graph()
        except ModuleNotFoundError as exc:
            raise ConfigurationError(
                f"the migrations package {exc.name} is missing: run `tenantry migrate --make`"
            ) from exc
        return run

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> BaseSchemaEditor:
        postgres = isinstance(self.connection, PostgresClient)
        editor = AsyncpgSchemaEditor if postgres else KeepingSchemaEditor
        return editor(self.connection, atomic=atomic, collect_sql=collect_sql)

    async def applied(self) -> set[MigrationKey]:
        """The applied migrations of the loaded apps; the table may name others, of plugins not loaded now."""
        catalogue = (
            "SELECT 1 WHERE to_regclass('tortoise_migrations') IS NOT NULL"
            if isinstance(self.connection, PostgresClient)
            else "SELECT 1 FROM sqlite_master WHERE name = 'tortoise_migrations'"
        )
        if not await self.connection.execute_query_dict(catalogue):
            return set()
        return set(await self.recorder.applied_migrations()) & set(self.loader.graph.nodes)

    def steps_forward(self, applied: set[MigrationKey]) -> list[Step]:
        keys: dict[MigrationKey, None] = {}
        for app in self.loader.apps_config:
            for key in sorted(key for key in self.loader.graph.nodes if key.app_label == app):
                keys |= dict.fromkeys(self.loader.graph.forwards_plan(key))
        return [Step(key.app_label, key.name) for key in keys if key not in applied]

    def steps_backward(self, applied: set[MigrationKey], app: str, to: str) -> list[Step]:
        own = sorted(key for key in self.loader.graph.nodes if key.app_label == app)
        if not own or (to != "zero" and MigrationKey(app, to) not in own):
            names = ", ".join(["zero", *(key.name for key in own)])
            raise ConfigurationError(f"there is no migration {app}.{to}; of {app!r} there are: {names}")
        kept = 0 if to == "zero" else own.index(MigrationKey(app, to)) + 1
        leaving = [key for key in own[kept:] if key in applied]
        for key in leaving:
            others = [each for each in self.loader.graph.backwards_plan(key) if each.app_label != app]
            if builds := [str(each) for each in others if each in applied]:
                raise ConfigurationError(f"{key} cannot be taken back: {', '.join(builds)} build on it")
        return [Step(app, key.name, backward=True) for key in reversed(leaving)]

    async def run(self, steps: Sequence[Step], progress: Progress | None) -> None:
        """Run the steps; each with its record in one transaction, unless the migration says `atomic = False`."""
        await self.recorder.ensure_schema(self._schema_editor(atomic=False))
        applied, state = await self.applied(), None
        for number, step in enumerate(steps, 1):
            if progress is not None:
                progress(str(step), number, len(steps))
            key = MigrationKey(step.app, step.name)
            migration = self.loader.graph.nodes[key]
            assert migration is not None
            if (
                not step.backward
            ):  # built once and updated by each migration; building it again would replay all earlier ones
                state = state or await self._project_state(applied)
            if migration.atomic:
                async with self.connection._in_transaction() as transaction:
                    await self._step(migration, step, applied, state, self._on(transaction))
            else:
                await self._step(migration, step, applied, state, self._on(self.connection))
            applied = applied - {key} if step.backward else applied | {key}

    def _on(self, client: object) -> tuple[BaseSchemaEditor, MigrationRecorder]:
        editor = self._schema_editor()
        editor.client = client  # type: ignore[assignment]
        return editor, MigrationRecorder(client)

    async def _step(
        self,
        migration: Migration,
        step: Step,
        applied: set[MigrationKey],
        state: State | None,
        on: tuple[BaseSchemaEditor, MigrationRecorder],
    ) -> None:
        editor, recorder = on
        if state is None:
            state = (await self._project_state_cache(applied))[MigrationKey(step.app, step.name)]
            await migration.unapply(state, schema_editor=editor)
            await recorder.record_unapplied(step.app, step.name)
        else:
            await migration.apply(state, schema_editor=editor)
            await recorder.record_applied(step.app, step.name)


@asynccontextmanager
async def _advisory_lock(client: PostgresClient) -> AsyncIterator[None]:
    """A lock held by a transaction, since a pooler shares sessions; a waiting process keeps no connection."""
    while True:
        connection = await client.take()
        try:
            await client.open_transaction(connection, None)
            if await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({_LOCK})"):
                yield
                return
        finally:
            await client.abandon(connection)
        await asyncio.sleep(_TRY_AGAIN)


async def _check_links(client: SqliteClient) -> None:
    rows = await client.execute_query_dict("PRAGMA foreign_key_check")
    if rows:
        places = sorted({f"{row['table']} -> {row['parent']}" for row in rows})
        raise ConfigurationError(
            f"the migration would leave {len(rows)} rows with links to missing rows ({', '.join(places)}); "
            "nothing was changed: move or delete those rows in the migration first"
        )


def _migrated_apps(database: Database) -> dict[str, dict[str, object]]:
    return {label: config for label, config in database.apps_config().items() if "migrations" in config}


def _closed(line: str) -> str:
    return line if line.startswith("--") or line.rstrip().endswith(";") else f"{line};"
