"""The baseline: the same SQL on plain Quart and asyncpg, without tenants, sign-in, limits or plugins.

`BENCH_DATABASE` names the database. `python -m benchmarks.bare PORT SERVER LOOP`: SERVER is hypercorn or granian, with
the settings that the host gives it, LOOP is uvloop or asyncio. Whoever changes the SQL of the host's side changes it
here too.
"""

from __future__ import annotations

import os
import sys
from asyncio import Runner
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
import uvloop
from granian import Granian
from granian.constants import Interfaces, Loops
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, jsonify, request
from uuid_utils.compat import uuid7

COLUMNS = (
    "id, project_id, title, description, status, priority, assignee_id, due_on, tags, created_by, version, "
    "created_at, updated_at"
)
GET = f"SELECT {COLUMNS} FROM projects_tasks WHERE tenant_id = $1 AND id = $2"
LIST = f"SELECT {COLUMNS} FROM projects_tasks WHERE tenant_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"
PROJECT = "SELECT status FROM projects_projects WHERE tenant_id = $1 AND id = $2"
INSERT = (
    "INSERT INTO projects_tasks (id, tenant_id, project_id, title, description, status, priority, tags, version,"
    " created_at, updated_at) VALUES ($1, $2, $3, $4, '', 'todo', 2, '[]', 1, now(), now())"
    f" RETURNING {COLUMNS}"
)
RECORD = (
    "INSERT INTO audit_entries (id, tenant_id, at, actor_kind, actor_label, action, resource_type, resource_id,"
    " before, after, outcome, reason, address, user_agent, request_id)"
    " VALUES ($1, $2, now(), 'user', '', 'projects.tasks.create', 'task', $3, 'null', $4, 'succeeded', '', '', '', '')"
)

app = Quart(__name__)
pool: asyncpg.Pool


@app.before_serving
async def connect() -> None:
    global pool  # noqa: PLW0603 - as short as such a handler is usually written
    pool = await asyncpg.create_pool(os.environ["BENCH_DATABASE"], min_size=10, max_size=10)


@app.get("/health")
async def health():  # type: ignore[no-untyped-def]
    return jsonify({"ok": True})


@app.get("/<uuid:tenant_id>/tasks/<uuid:task_id>")
async def get_task(tenant_id: UUID, task_id: UUID):  # type: ignore[no-untyped-def]
    async with pool.acquire() as connection:
        row = await connection.fetchrow(GET, tenant_id, task_id)
    return (jsonify(dict(row)), 200) if row else (jsonify({"error": "not found"}), 404)


@app.get("/<uuid:tenant_id>/tasks")
async def list_tasks(tenant_id: UUID):  # type: ignore[no-untyped-def]
    limit = int(request.args.get("limit", 20))
    async with pool.acquire() as connection:
        rows = await connection.fetch(LIST, tenant_id, limit + 1)
    return jsonify([dict(row) for row in rows[:limit]])


@app.post("/<uuid:tenant_id>/projects/<uuid:project_id>/tasks")
async def create_task(tenant_id: UUID, project_id: UUID):  # type: ignore[no-untyped-def]
    body = await request.get_json()
    async with pool.acquire() as connection, connection.transaction():
        if await connection.fetchval(PROJECT, tenant_id, project_id) != "active":
            return jsonify({"error": "not found"}), 404
        row = await connection.fetchrow(INSERT, uuid7(), tenant_id, project_id, body["title"])
        await connection.execute(RECORD, uuid7(), tenant_id, str(row["id"]), "{}")
    return jsonify(dict(row)), 201


def main(port: int, server: str, loop: str) -> None:
    if server == "granian":
        options = {"interface": Interfaces.ASGI, "loop": Loops(loop), "log_enabled": False}
        Granian("benchmarks.bare:app", address="127.0.0.1", port=port, **options).serve()
        return
    settings = Config()
    settings.bind = [f"127.0.0.1:{port}"]
    settings.accesslog = None
    with Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(serve(app, settings))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
