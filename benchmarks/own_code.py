"""Measure what own code saves over the library it stands in for: `python -m benchmarks.own_code [part …]`.

Parts: `redis` (host.cache.client against redis-py), `sql` (host.data.sql_builder against the ORM's query sets) and
`postgres` (one statement that sets the tenant against the ORM's transaction around each). Microseconds of this
process's CPU for each operation, the two in turn, the median of the rounds. Needs PostgreSQL and Redis as
`benchmarks.bench` does; under a minute.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import redis.asyncio

from benchmarks.bench import ROOT, Bench
from host.app import Application, freeze
from host.cache.client import RedisClient
from host.data.conditions import equal
from host.data.database import bound
from host.settings import load as load_settings
from plugins.projects.models import Project, Task
from plugins.projects.service import TASKS
from tenants.context import bind, current

AT_ONCE, ROUNDS, OPERATIONS = 16, 9, 800
Work = Callable[[], Awaitable[object]]


async def compare(what: str, library: Work, own: Work) -> None:
    """Print one line: microseconds of CPU with the library and with our code, and the ratio."""
    for work in (library, own):
        await _cpu(work)
    pairs = [(await _cpu(library), await _cpu(own)) for _ in range(ROUNDS)]
    with_library, with_own = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    print(f"{what:<50} library {with_library:6.0f} us   own {with_own:6.0f} us   own / library {ratio:5.2f}")


async def _cpu(work: Work) -> float:
    began = time.process_time()
    for _ in range(OPERATIONS // AT_ONCE):
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return (time.process_time() - began) / OPERATIONS * 1e6


async def measure_redis(bench: Bench) -> None:
    """GET by 16 tasks at once."""
    library = redis.asyncio.Redis.from_url(bench.redis)
    own = RedisClient(bench.redis)
    await library.set("own_code", b"x" * 100)
    await compare("redis: GET, 16 at once", lambda: library.get("own_code"), lambda: own.call("GET", "own_code"))
    await library.aclose()
    await own.close()


async def measure_sql(task_id: object) -> None:
    """One row by id, and a page of 20, as plain dicts."""

    async def one_by_orm() -> object:
        return (await Task.filter(id=task_id).limit(1).values())[0]

    async def page_by_orm() -> object:
        return await Task.all().order_by("-created_at", "-id").limit(21).values()

    query = TASKS.parse({"limit": "20"})
    await compare("sql: read a row by id", one_by_orm, lambda: TASKS.get(task_id))  # type: ignore[arg-type]
    await compare("sql: read a page of 20", page_by_orm, lambda: TASKS.page(query))


async def measure_postgres(task_id: object) -> None:
    """The same SQL for the bound tenant: in a small transaction, and alone in one round trip."""
    client, tenant = bound().client, current()
    builder = TASKS._here()[1]
    statement = builder.select(equal(builder, {"id": task_id})[0])

    async def in_transaction() -> object:
        return await client.execute_query(statement.inside, [tenant, task_id])

    async def alone() -> object:
        return await client.rows(statement, [tenant, task_id])

    await compare("postgres: a row, tenant set in its transaction", in_transaction, alone)


async def _prepared(application: Application) -> tuple[object, object]:
    tenant = await application.provisioning.create("Own", slug="own")
    with bind(tenant.id):
        project = await Project.create(name="P", slug="p")
        tasks = [Task(id=uuid4(), project_id=project.id, title=f"Task {number}") for number in range(100)]
        await Task.bulk_create(tasks)
    return tenant.id, tasks[0].id


async def measure(bench: Bench, parts: set[str]) -> None:
    if "redis" in parts:
        await measure_redis(bench)
    if parts & {"sql", "postgres"}:
        os.environ.update(bench.environment)
        settings = load_settings(ROOT / "config" / "settings.toml", dict(os.environ), plugin_ids=None)
        async with Application.open(settings) as application:
            freeze()
            tenant_id, task_id = await _prepared(application)
            with bind(tenant_id):  # type: ignore[arg-type]
                if "sql" in parts:
                    await measure_sql(task_id)
                if "postgres" in parts:
                    await measure_postgres(task_id)


def main(parts: set[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="tb") as name, Bench(Path(name)).running() as bench:
        if parts & {"sql", "postgres"}:
            bench.tenantry("migrate")
        asyncio.run(measure(bench, parts))


if __name__ == "__main__":
    main(set(sys.argv[1:]) or {"redis", "sql", "postgres"})
