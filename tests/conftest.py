"""Shared fixtures: a database of its own for each test, on every back end, and an application on it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import structlog
from tortoise.utils import generate_schema_for_client

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.contracts import Event
from host.data import rls
from host.data.database import Database
from host.data.migrations import Migrations
from host.jobs.catalog import JobDraft
from host.log import REQUESTS, RUNS
from host.settings import Settings, load
from host.testing import TestApplication

ROOT = Path(__file__).parents[1]
BACKENDS = ["sqlite", *(["postgres"] if os.environ.get("TEST_DATABASE_URL") else [])]
APPS: Mapping[str, Sequence[str]] = {
    "tenants": ("tenants.models",),
    "host": ("host.cache.models", "host.identity.models", "host.jobs.models", "host.limits.models", "host.web.models"),
}

Administer = Callable[[str], Awaitable[None]]
Places = Callable[..., Awaitable[Mapping[str, Any]]]
MakeDatabase = Callable[..., Awaitable[Database]]


@pytest.fixture(autouse=True)
def same_logging() -> Iterator[None]:
    """Commands set logging up for their whole process; here it is put back after each test."""
    root, lean = logging.getLogger(), [logging.getLogger(name) for name in (REQUESTS, RUNS)]
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for log in lean:
        log.handlers[:], log.propagate = [], True
    logging.getLogger("host.registry").setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """sqlite always; postgres where TEST_DATABASE_URL names a login that may make databases and roles."""
    if request.param not in BACKENDS:  # asked for by a test that is about one of them
        pytest.skip(f"no {request.param} here")
    return str(request.param)


@pytest.fixture
def administer() -> Administer:
    """Runs a statement as the login of TEST_DATABASE_URL, outside every test's own database."""

    return _administer


async def _administer(statement: str) -> None:
    connection = await asyncpg.connect(os.environ["TEST_DATABASE_URL"])
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _url_of(name: str) -> str:
    return urlsplit(os.environ["TEST_DATABASE_URL"])._replace(path=f"/{name}").geturl()


@pytest.fixture
async def new_place(backend: str, tmp_path: Path, administer: Administer) -> AsyncIterator[Places]:
    """Makes empty databases, as keyword arguments of `Database`; they are dropped afterwards."""
    made: list[str] = []

    async def make(template: str = "template1") -> Mapping[str, Any]:
        name = f"tenantry_test_{uuid4().hex[:12]}"
        if backend == "sqlite":
            return {"path": tmp_path / f"{name}.sqlite3"}
        await administer(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        made.append(name)
        return {"url": _url_of(name)}

    yield make
    for name in made:
        await administer(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def new_database(new_place: Places) -> AsyncIterator[MakeDatabase]:
    """Makes open databases of the given apps: migrated where migrations are given, else made from the models."""
    async with AsyncExitStack() as stack:

        async def make(
            apps: Mapping[str, Sequence[ModuleType | str]] = APPS,
            migrations: Mapping[str, str] | None = None,
            **settings: Any,
        ) -> Database:
            place = await new_place()
            database = Database(
                **place, apps=apps, migrations=migrations, **{"cursor_key": b"test", "timeout": 10.0, **settings}
            )
            await database.open()
            stack.push_async_callback(database.close)
            if migrations:
                await Migrations(database).migrate()
            else:
                async with database.owner() as client:
                    await generate_schema_for_client(client, safe=False)
                await rls.secure(database)
            return database

        yield make


@pytest.fixture
async def database(new_database: MakeDatabase) -> AsyncIterator[Database]:
    """The tables of tenants and host, made from the models, and bound."""
    made = await new_database()
    with made.bind():
        yield made


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Awaitable[Any]]]:
    """The migrated tables of an application, made once and copied for each test: a file for SQLite, else a database's
    name."""
    known: dict[str, Any] = {}

    async def on(backend: str) -> Any:
        if backend not in known:
            name, folder = f"tenantry_template_{uuid4().hex[:12]}", tmp_path_factory.mktemp("migrated")
            known[backend] = folder / "tenantry.sqlite3" if backend == "sqlite" else name
            url = ""
            if backend == "postgres":
                await _administer(f'CREATE DATABASE "{name}"')
                url = _url_of(name)
            environment = {"TENANTRY_DATA__DIR": str(folder), "DATABASE_URL": url}
            async with TestApplication.open(load(ROOT / "config" / "settings.toml", environment, plugin_ids=None)):
                pass
        return known[backend]

    yield on
    if "postgres" in known:
        asyncio.run(_administer(f'DROP DATABASE "{known["postgres"]}" WITH (FORCE)'))


@pytest.fixture
async def app_settings(
    backend: str, migrated: Callable[[str], Awaitable[Any]], new_place: Places, tmp_path: Path
) -> Settings:
    """The settings of the `application` fixture, on each database; rates that no test means to meet are wide."""
    template, url = await migrated(backend), ""
    (tmp_path / "data").mkdir()
    if backend == "sqlite":
        shutil.copy(template, tmp_path / "data" / "tenantry.sqlite3")
    else:
        url = (await new_place(template))["url"]
    environment = {
        "TENANTRY_DATA__DIR": str(tmp_path / "data"),
        "DATABASE_URL": url,
        "TENANTRY_RATES__SIGN_IN": "20/minute",
        "TENANTRY_RATES__PUBLIC": "100000/minute",
        "TENANTRY_RATES__AUTHENTICATED": "100000/minute",
    }
    return load(ROOT / "config" / "settings.toml", environment, plugin_ids=None)


@pytest.fixture
def heard(application: TestApplication) -> Iterator[list[Event]]:
    """The events that were announced."""
    with listening(application) as events:
        yield events


@contextmanager
def listening(application: TestApplication) -> Iterator[list[Event]]:
    """The events that are announced in an application during the block."""
    events: list[Event] = []
    transactions = application.inner.services.transactions
    jobs_for = transactions._jobs_for

    def hear(event: Event) -> Sequence[JobDraft]:
        events.append(event)
        return jobs_for(event)

    transactions._jobs_for = hear
    yield events
    transactions._jobs_for = jobs_for


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis of the test's own, which it may stop, freeze and kill."""
    embedded = EmbeddedRedis(tmp_path / "redis")
    await embedded.start()
    yield embedded
    await embedded.stop()


@pytest.fixture
async def redis_client(redis_server: EmbeddedRedis) -> AsyncIterator[RedisClient]:
    """A client of the test's own Redis."""
    connected = RedisClient(redis_server.url, timeout=1.0)
    yield connected
    await connected.close()
