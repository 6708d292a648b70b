"""Benchmark the audit log and print its figures: `python -m benchmarks.audit [part …]`, by default all parts.

Needs PostgreSQL and Redis as `benchmarks.bench` does. Parts: `create` (a task through the chain, with the plugins audit
and metrics and without them), `chain` (writing, sealing, verifying), `search` (1,000,000 entries of one tenant among
10) and `export` (the same 1,000,000). The last two fill 2,000,000 rows first, which takes minutes.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import asyncpg  # type: ignore[import-untyped]

from benchmarks.bench import ROOT, ROUNDS, SECONDS, Bench, Place, fill, load, scenarios, settle
from benchmarks.servers import Server
from host.app import Application, freeze
from host.contracts import Action, Actor, Origin, Query
from host.execution_context import as_plugin
from host.services import unit_of_work
from host.settings import load as load_settings
from plugins.audit import sealing, service, verification
from tenants.context import bind

ENTRIES, OTHERS = int(os.environ.get("BENCH_ENTRIES", "1000000")), 9
WRITERS, EACH, PAIRS = 8, 10_000, 3

_FILL = """
INSERT INTO audit_entries (id, tenant_id, at, actor_kind, actor_id, actor_label, user_id, action, resource_type,
    resource_id, before, after, outcome, reason, address, user_agent, request_id, salt, mac, position, hash, words)
SELECT gen_random_uuid(), $1::uuid, now() - n * interval '30 seconds', 'user', person,
    'person' || n % 200 || '@acme.example',
    person, array_to_string(did, '.'), 'task', id::text, '{}',
    jsonb_build_object('title', w1 || ' ' || w2, 'status', 'todo', 'project_id', id), outcome, '',
    '10.0.' || n % 250 || '.' || n % 99, 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36', id::text,
    md5(n::text), md5(n::text) || md5('x' || n), n, md5(n::text) || md5('y' || n),
    array_to_tsvector(did || ARRAY['t' || replace($1::uuid::text, '-', ''), 'task', replace(id::text, '-', ''), outcome,
        'person' || n % 200, 'acme', 'example', '10', '0', (n % 250)::text, (n % 99)::text, 'title', 'status', 'todo',
        'project', 'id', w1, w2])
FROM generate_series(1, $2::int) n,
LATERAL (SELECT gen_random_uuid() AS id, md5('u' || n % 200)::uuid AS person,
    'w' || substr(md5((1 + floor(5000 * ((hashint4(n) & 65535) / 65536.0) ^ 3))::int::text), 1, 5) AS w1,
    'w' || substr(md5((1 + floor(5000 * ((hashint4(-n) & 65535) / 65536.0) ^ 3))::int::text), 1, 5) AS w2,
    CASE WHEN n % 50 = 0 THEN 'denied' ELSE 'succeeded' END AS outcome,
    CASE WHEN n % 1000 = 0 THEN ARRAY['tenant', 'roles', 'update']
         WHEN n % 3 = 0 THEN ARRAY['projects', 'tasks', 'create']
         WHEN n % 3 = 1 THEN ARRAY['projects', 'tasks', 'update']
         ELSE ARRAY['mail', 'messages', 'create'] END AS did) made
"""


# -- a task through the chain ----------------------------------------------------------------------------


def create(bench: Bench) -> None:
    """POST tasks to an application with audit and metrics and to one without, in alternation.

    Three pairs of them, since no two processes are equally fast.
    """
    without = bench.folder / "without"
    without.mkdir()
    (without / "config").mkdir()
    for file in (ROOT / "config").iterdir():
        text = file.read_text() if file.suffix == ".toml" else None
        if text is not None:
            lines = "\n".join(line for line in text.splitlines() if '"audit.' not in line)
            (without / "config" / file.name).write_text(lines + "\n")
    plugins = (ROOT / "plugins.toml").read_text().split("\n[")
    (without / "plugins.toml").write_text(
        "\n[".join(part for part in plugins if not part.startswith(("audit]", "metrics]")))
    )
    rounds_by_request: dict[str, list[_Round]] = {}
    with bench.application("first") as application:
        token, _, place = settle(application)
    place = asyncio.run(fill(bench.database, place, 1000))
    for _ in range(PAIRS):
        with bench.application("without", without) as off, bench.application("with") as on:
            for request, _, requests in scenarios([place], token):
                rounds_by_request.setdefault(request, []).extend(_in_turn(off, on, requests))
    for request, rounds in rounds_by_request.items():
        ratio, cpu, rate = (statistics.median(each) for each in zip(*rounds, strict=True))
        print(f"{request:<40} with / without: {ratio:5.2f} (cpu {cpu:5.2f}); {rate:.0f}/s with")


_Round = tuple[float, float, float]  # answers with / without, the same per second of processor time, answers/s with


def _in_turn(off: Server, on: Server, requests: list[str]) -> Iterator[_Round]:
    for server in (off, on):
        load(server, requests)
    for _ in range(ROUNDS):
        rates, rates_per_cpu = [], []
        for server in (off, on):
            used = server.cpu_seconds()
            answer = load(server, requests, SECONDS)
            rates.append(answer["answers"] / answer["seconds"])
            rates_per_cpu.append(answer["answers"] / (server.cpu_seconds() - used))
        yield rates[1] / rates[0], rates_per_cpu[1] / rates_per_cpu[0], rates[1]


# -- the chain -------------------------------------------------------------------------------------------


async def chain(bench: Bench) -> None:
    """8 writers × 10,000 entries, sealed, then verified three times."""
    async with _application(bench) as application:
        tenant = await application.provisioning.create("Chain", slug="chain")
        with bind(tenant.id), as_plugin("audit"):
            with _measured("written by 8 writers", WRITERS * EACH):
                await asyncio.gather(*(_write(tenant.id, EACH) for _ in range(WRITERS)))
            freeze()  # as entry points do
            with _measured("sealed", WRITERS * EACH):
                await sealing.seal()
            for _ in range(3):
                with _measured("verified", WRITERS * EACH):
                    verdict = await verification.verify()
                assert verdict.ok, verdict.finding


async def _write(tenant_id: UUID, count: int) -> None:
    origin = Origin("request-1", Actor("user", uuid4(), "ada@acme.example"), "10.0.0.1", "Mozilla/5.0 (X11; Linux)")
    after = {"id": uuid4(), "title": "A task made by the benchmark", "status": "todo", "priority": "normal"}
    action = Action("projects.tasks.create", "task", "", "succeeded", {}, after, origin, datetime.now(UTC), tenant_id)
    for _ in range(count):
        async with unit_of_work():
            await service.write(replace(action, resource_id=str(uuid4()), at=datetime.now(UTC)))


@contextmanager
def _measured(what: str, count: int) -> Iterator[None]:
    began, used = time.perf_counter(), time.process_time()
    yield
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(f"{what:<40} {count / seconds:10,.0f} entries/s ({count / cpu:,.0f} per second of this process's CPU)")


# -- a million entries -----------------------------------------------------------------------------------


async def fill_entries(bench: Bench, tenant_id: UUID) -> None:
    """A million entries for one tenant and a ninth of that for each of nine others."""
    connection = await asyncpg.connect(bench.database)
    await connection.execute("DROP INDEX audit_entries_words")  # made at once afterwards: a fraction of the time
    await connection.execute(_FILL, tenant_id, ENTRIES, timeout=3600)
    for _ in range(OTHERS):
        await connection.execute(_FILL, uuid4(), ENTRIES // OTHERS, timeout=3600)
    await connection.execute("SET maintenance_work_mem = '256MB'")
    index = "CREATE INDEX audit_entries_words ON audit_entries USING gin (words) WHERE words IS NOT NULL"
    await connection.execute(index, timeout=3600)
    await connection.execute("VACUUM ANALYZE audit_entries", timeout=3600)
    await connection.close()


async def search(bench: Bench, tenant_id: UUID) -> None:
    """Searches of every kind through the service; milliseconds."""
    chance = Random(1)
    questions: dict[str, Callable[[], dict[str, str]]] = {
        "a common word": lambda: {"q": "todo"},
        "a word": lambda: {"q": _word(chance)},
        "two words": lambda: {"q": f"{_word(chance)} {_word(chance)}"},
        "a word that is nowhere": lambda: {"q": f"x{chance.randrange(10**9)}"},
        "an address": lambda: {"q": f"10.0.{chance.randrange(250)}.{chance.randrange(99)}"},
        "a person's denials": lambda: {"q": f"person{chance.randrange(200)}", "outcome": "denied"},
        "an actor by name": lambda: {"actor": f"person{chance.randrange(200)}@acme.example"},
        "actions by wildcard": lambda: {"action": chance.choice(["tenant.*", "projects.tasks.*", "billing.*"])},
        "a word among actions": lambda: {"q": _word(chance), "action": "projects.*"},
    }
    everything: list[float] = []
    async with _application(bench):
        with bind(tenant_id), as_plugin("audit"):
            for what, question in questions.items():
                times = sorted([await _timed(question()) for _ in range(100)])
                everything += times
                print(f"search: {what:<32} p50 {times[50]:7.1f} ms  p99 {times[98]:7.1f} ms")
    everything.sort()
    print(f"search: all of them{'':<13} p99 {everything[len(everything) * 99 // 100]:23.1f} ms")


def _word(chance: Random) -> str:
    number = 1 + int(5000 * chance.random() ** 3)
    return "w" + hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()[:5]


async def _timed(filters: dict[str, str]) -> float:
    began = time.perf_counter()
    await service.find(Query(filters=filters))
    return (time.perf_counter() - began) * 1000


def export(server: Server, token: str, slug: str) -> None:
    """The whole log as CSV and as JSON lines, with the memory of the process while it sends."""
    for kind in ("csv", "jsonl"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        headers = {"Authorization": f"Bearer {token}", "X-Tenant": slug}
        before, began, size, lines, most = server.megabytes(), time.perf_counter(), 0, 0, 0.0
        connection.request("GET", f"/api/v1/audit/export?format={kind}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        next_look = 0.0
        while piece := answer.read(1 << 20):
            size, lines = size + len(piece), lines + piece.count(b"\n")
            if time.perf_counter() > next_look:
                most, next_look = max(most, server.megabytes()), time.perf_counter() + 0.5
        seconds = time.perf_counter() - began
        print(
            f"export as {kind:<6} {lines:,} lines, {size >> 20} MB in {seconds:.0f} s ({lines / seconds:,.0f}/s); "
            f"memory {before:.0f} MB before, {most:.0f} MB at most"
        )


# -- putting it together ---------------------------------------------------------------------------------


def _application(bench: Bench) -> object:
    for name, value in bench.environment.items():
        os.environ[name] = value
    return Application.open(load_settings(ROOT / "config" / "settings.toml", dict(os.environ), plugin_ids=None))


def main(parts: set[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="ta") as name, Bench(Path(name)).running() as bench:
        bench.tenantry("migrate")
        if "create" in parts:
            create(bench)
        if "chain" in parts:
            asyncio.run(chain(bench))
        if parts & {"search", "export"}:
            with bench.application("tenantry") as server:
                token, _, place = settle(server)
                _many(bench, parts, server, token, place)


def _many(bench: Bench, parts: set[str], server: Server, token: str, place: Place) -> None:
    tenant_id = UUID(place.tenant)
    asyncio.run(fill_entries(bench, tenant_id))
    if "search" in parts:
        asyncio.run(search(bench, tenant_id))
    if "export" in parts:
        export(server, token, place.slug)


if __name__ == "__main__":
    main(set(sys.argv[1:]) or {"create", "chain", "search", "export"})
