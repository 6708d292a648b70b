"""Fixtures: a database with the sample models, and two tenants who must never see each other."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.context import TortoiseContext
from uuid_utils.compat import uuid7

from tenants.context import bind
from tests.tenants.sample_models import Badge, Note, Project, Task

_POSTGRES = "postgres@127.0.0.1:5432"


@dataclass(frozen=True)
class World:
    """Two tenants: the first has alpha and beta, the second beta, gamma and delta (the same name twice)."""

    mine: UUID
    theirs: UUID
    their_project: UUID
    their_task: UUID


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest) -> AsyncIterator[TortoiseContext]:
    """A fresh database of either kind with every table of the foundation and of the samples."""
    name, url = f"tenantry_test_ground_{os.getpid()}", "sqlite://:memory:"
    if request.param == "postgres":
        await _administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
        url = f"asyncpg://{_POSTGRES}/{name}"
    EXECUTOR_CACHE.clear()  # Tortoise keeps SQL by connection name and table, whatever the dialect
    async with TortoiseContext() as context:
        await context.init(
            db_url=url, modules={"tenants": ["tenants.models"], "sample": ["tests.tenants.sample_models"]}
        )
        await context.generate_schemas()
        yield context
    if request.param == "postgres":
        await _administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _administer(*statements: str) -> None:
    connection = await asyncpg.connect(f"postgres://{_POSTGRES}/postgres")
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def world(database: TortoiseContext) -> World:
    """The two tenants, with a task, a sub-task and a note in each project."""
    mine, theirs = uuid7(), uuid7()
    made: dict[UUID, tuple[Project, Task]] = {}
    for tenant_id, names in ((mine, ("alpha", "beta")), (theirs, ("beta", "gamma", "delta"))):
        with bind(tenant_id):
            for rank, name in enumerate(names):
                project = await Project.create(name=name, rank=rank)
                task = await Task.create(title=f"{name}-task", project=project)
                await Task.create(title=f"{name}-step", project=project, parent=task)
                await Note.create(text=f"{name}-note", task=task)
                await Badge.create(project=project)
                made[tenant_id] = (project, task)
    project, task = made[theirs]
    return World(mine, theirs, project.id, task.id)


@pytest.fixture
def statements(database: TortoiseContext, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL sent to the database from here on."""
    sent: list[str] = []
    client = type(database.db())
    for name in ("execute_query", "execute_query_dict", "execute_insert", "execute_many"):
        plain = getattr(client, name)

        async def recorded(self, query, *args, _plain=plain, **kwargs):
            sent.append(query)
            return await _plain(self, query, *args, **kwargs)

        monkeypatch.setattr(client, name, recorded)
    return sent
