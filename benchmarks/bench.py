"""Benchmark the host against `bare.py` and print one table of ratios: `python -m benchmarks.bench`.

Both web processes share one core, the load generator has the other; they take turns in short rounds, so that a
busy moment of the machine hits both. Needs PostgreSQL and Redis (`BENCH_DATABASE_URL`, `BENCH_REDIS_URL`: servers
that may be given a database of their own); about ten minutes. The bare handler runs on the same server and event loop
as the host, on each of `RUNTIMES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import redis

from benchmarks import fabricate
from benchmarks.servers import LOADING_CORE, Server

ROOT = Path(__file__).parents[1]
TENANTRY = str(Path(sys.executable).with_name("tenantry"))
DATABASE_URL = os.environ.get("BENCH_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379")
CONNECTIONS, ROUNDS, SECONDS = 16, 5, 2.5
PLUGINS, ROUTES_EACH, TENANTS = 100, 30, 5000
RUNTIMES = (("hypercorn", "uvloop"), ("hypercorn", "asyncio"), ("granian", "uvloop"))
"""Web servers and event loops; the first is the host's default, on which everything else is measured."""

NO_LIMIT = "1000000000/minute"


@dataclass(frozen=True)
class Place:
    """One tenant to send requests to."""

    tenant: str
    slug: str
    project: str
    tasks: tuple[str, ...]


@dataclass
class Measured:
    """One line of the table: what was measured of the bare handler and of the host, round by round.

    cpu: answers per second of processor time, which a busy machine disturbs less. p99: milliseconds.
    """

    what: str
    bare: list[float] = field(default_factory=list)
    application: list[float] = field(default_factory=list)
    unit: str = "/s"
    cpu: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    p99: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    def line(self) -> str:
        cpu = f"{_ratio(*self.cpu):6.2f}" if self.cpu[0] else " " * 6
        tail = " ".join(f"{statistics.median(each):6.1f}" for each in self.p99 if each)
        bare, application = statistics.median(self.bare), statistics.median(self.application)
        ratio = _ratio(self.bare, self.application)
        return f"{self.what:<60} {ratio:6.2f} {cpu} {bare:9.1f} {application:9.1f} {self.unit:<3} {tail}"


def _ratio(bare: list[float], application: list[float]) -> float:
    """The median of host / bare over the rounds, each of which measured both under the same load."""
    return statistics.median(mine / theirs for theirs, mine in zip(bare, application, strict=True))


class Bench:
    """The database, the Redis database and the folder of one run; all removed afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"tenantry_bench_{os.getpid()}"
        self.database = f"{DATABASE_URL.rsplit('/', 1)[0]}/{self.name}"
        self.redis = f"{REDIS_URL}/{_empty_redis_database()}"
        self.environment = {
            "DATABASE_URL": self.database,
            "REDIS_URL": self.redis,
            "TENANTRY_DATA__DIR": str(folder / "data"),
            "TENANTRY_IDENTITY__ACCESS_TOKEN_MINUTES": "600",
            "TENANTRY_RATES__AUTHENTICATED": NO_LIMIT,
            "TENANTRY_RATES__PUBLIC": NO_LIMIT,
            "TENANTRY_SERVER__RUN_JOBS": "false",
            "PYTHONPATH": f"{ROOT}:{folder / 'crowd'}",
            "BENCH_DATABASE": self.database,
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[Bench]:
        asyncio.run(_sql(DATABASE_URL, f'CREATE DATABASE "{self.name}"'))
        try:
            yield self
        finally:
            asyncio.run(_sql(DATABASE_URL, f'DROP DATABASE "{self.name}" WITH (FORCE)'))
            redis.Redis.from_url(self.redis).flushdb()

    def application(self, name: str, working: Path = ROOT, runtime: tuple[str, str] = RUNTIMES[0]) -> Server:
        server, loop = runtime
        command = [TENANTRY, "serve", "--no-migrate", "--server", server]
        environment = {**self.environment, "TENANTRY_SERVER__UVLOOP": str(loop == "uvloop")}
        return Server(name, command, environment, self.folder, "/api/v1/health", working)

    def bare(self, runtime: tuple[str, str] = RUNTIMES[0]) -> Server:
        command = [sys.executable, "-m", "benchmarks.bare", "{port}", *runtime]
        return Server("bare", command, self.environment, self.folder, "/health", ROOT)

    def tenantry(self, *arguments: str, working: Path = ROOT) -> None:
        subprocess.run(
            [TENANTRY, *arguments],
            cwd=working,
            env={**os.environ, **self.environment},
            check=True,
            stdout=subprocess.DEVNULL,
        )


# -- what is sent ----------------------------------------------------------------------------------------


def scenarios(places: list[Place], token: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """What each scenario is called, and its requests to the bare handler and to the host."""
    turns = [(place, task) for place in places for task in place.tasks[: max(1, 1000 // len(places))]]
    Random(1).shuffle(turns)
    body = json.dumps({"title": "A task made by the benchmark"})

    def application(method: str, path: str, place: Place, content: str = "") -> str:
        return _http(method, f"/api/v1{path}", content, Authorization=f"Bearer {token}", **{"X-Tenant": place.slug})

    yield (
        "GET /tasks/{id}",
        [_http("GET", f"/{place.tenant}/tasks/{task}") for place, task in turns],
        [application("GET", f"/tasks/{task}", place) for place, task in turns],
    )
    yield (
        f"GET /tasks?limit=20, among {len(places[0].tasks):,}",
        [_http("GET", f"/{place.tenant}/tasks?limit=20") for place, _ in turns],
        [application("GET", "/tasks?limit=20", place) for place, _ in turns],
    )
    yield (
        "POST /projects/{id}/tasks",
        [_http("POST", f"/{place.tenant}/projects/{place.project}/tasks", body) for place, _ in turns],
        [application("POST", f"/projects/{place.project}/tasks", place, body) for place, _ in turns],
    )


def _http(method: str, path: str, content: str = "", **headers: str) -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json"]
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", content])


# -- measuring -------------------------------------------------------------------------------------------


def compare(prefix: str, bare: Server, application: Server, places: list[Place], token: str) -> Iterator[Measured]:
    """Measure each scenario in alternating rounds, after one unmeasured round of each."""
    for scenario, to_bare, to_host in scenarios(places, token):
        measured = Measured(prefix + scenario)
        load(bare, to_bare)
        load(application, to_host, seconds=max(SECONDS, len(places) / 400))
        for _ in range(ROUNDS):
            for side, (server, requests) in enumerate(((bare, to_bare), (application, to_host))):
                used = server.cpu_seconds()
                answer = load(server, requests)
                (measured.bare, measured.application)[side].append(answer["answers"] / answer["seconds"])
                measured.cpu[side].append(answer["answers"] / (server.cpu_seconds() - used))
                measured.p99[side].append(answer["p99"])
        yield measured


def load(server: Server, requests: list[str], seconds: float = SECONDS) -> dict[str, Any]:
    """One round from the load generator's process; a single wrong answer ends the benchmark."""
    done = subprocess.run(
        ["taskset", "--cpu-list", str(LOADING_CORE), sys.executable, "-m", "benchmarks.load"],
        cwd=ROOT,
        input=json.dumps({"port": server.port, "connections": CONNECTIONS, "seconds": seconds, "requests": requests}),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer["wrong"]:
        raise RuntimeError(f"{server.name} answered {answer['wrong']} requests wrongly, such as: {answer['example']}")
    return answer


def start_times(bench: Bench, what: str, working: Path = ROOT) -> Measured:
    """Seconds from the start of the process to its first answer, three times."""
    measured = Measured(what, unit="s")
    for _ in range(3):
        with bench.bare() as bare:
            measured.bare.append(bare.first_answer)
        with bench.application("start", working) as application:
            measured.application.append(application.first_answer)
    return measured


# -- the two servers --------------------------------------------------------------------------------------


def settle(application: Server) -> tuple[str, str, Place]:
    """Register a person with a tenant and a project; returns the access token, the person's id and the place."""
    person = _ask(application, "/auth/register", {
        "email": "bench@example.com", "password": "a long enough passphrase", "name": "Bench", "tenant_name": "Bench",
    })  # fmt: skip
    token, tenant = person["access_token"], person["tenant"]
    project = _ask(application, "/projects", {"name": "Bench"}, Authorization=f"Bearer {token}")
    return token, person["user"]["id"], Place(tenant["id"], tenant["slug"], project["id"], ())


async def fill(database: str, place: Place, tasks: int) -> Place:
    connection = await asyncpg.connect(database)
    await connection.execute(fabricate.TASKS, tasks, [place.tenant])
    await connection.execute("ANALYZE")
    [filled] = await _places(connection, [place.tenant])
    await connection.close()
    return filled


async def crowd(database: str, like: Place, user: str, tenants: int) -> list[Place]:
    connection = await asyncpg.connect(database)
    ids = [row["id"] for row in await connection.fetch(fabricate.TENANTS, tenants)]
    await connection.execute(fabricate.ROLES, ids, like.tenant)
    await connection.execute(fabricate.MEMBERSHIPS, ids, user)
    await connection.execute(fabricate.PROJECTS, ids)
    await connection.execute(fabricate.TASKS, 20, ids)
    await connection.execute("ANALYZE")
    places = await _places(connection, ids)
    await connection.close()
    return places


async def _places(connection: Any, tenants: list[Any]) -> list[Place]:
    rows = await connection.fetch(
        "SELECT t.id, t.slug, p.id AS project, array_agg(k.id::text) AS tasks FROM tenants t"
        " JOIN projects_projects p ON p.tenant_id = t.id JOIN projects_tasks k ON k.project_id = p.id"
        " WHERE t.id = ANY($1) GROUP BY 1, 2, 3",
        tenants,
    )
    return [Place(str(row["id"]), row["slug"], str(row["project"]), tuple(row["tasks"])) for row in rows]


async def _sql(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def _empty_redis_database() -> int:
    return next(number for number in range(15, 0, -1) if not redis.Redis.from_url(f"{REDIS_URL}/{number}").dbsize())


def _ask(server: Server, path: str, body: dict[str, str], **headers: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", f"/api/v1{path}", json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = json.load(connection.getresponse())
    connection.close()
    if not answer["success"]:
        raise RuntimeError(f"POST {path}: {answer}")
    return answer["data"]


def crowded_folder(folder: Path) -> Path:
    """A working directory whose plugins.toml names a hundred made-up plugins besides ours."""
    lines = fabricate.crowd(folder / "crowd", PLUGINS, ROUTES_EACH)
    working = folder / "crowded"
    working.mkdir()
    (working / "config").symlink_to(ROOT / "config")
    (working / "plugins.toml").write_text((ROOT / "plugins.toml").read_text() + lines)
    return working


def main() -> None:
    lines: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="tb") as name, Bench(Path(name)).running() as bench:
        bench.tenantry("migrate")
        lines.append(start_times(bench, "start to first answer"))
        with bench.application("first") as application:
            token, user, place = settle(application)
        place = asyncio.run(fill(bench.database, place, 10_000))
        for runtime in RUNTIMES:
            prefix = f"{' '.join(runtime)}: "
            with bench.bare(runtime) as bare, bench.application("tenantry", runtime=runtime) as application:
                lines += compare(prefix, bare, application, [place], token)
                memory = [bare.megabytes()], [application.megabytes()]
                lines.append(Measured(f"{prefix}memory afterwards", *memory, "MB"))
        working = crowded_folder(bench.folder)
        bench.tenantry("migrate", working=working)
        crowded = f"{PLUGINS * ROUTES_EACH:,} routes, {PLUGINS} plugins, {TENANTS:,} tenants"
        places = asyncio.run(crowd(bench.database, place, user, TENANTS))
        lines.append(start_times(bench, "crowded: start to first answer", working))
        with bench.bare() as bare, bench.application("crowded", working) as application:
            lines += compare("crowded: ", bare, application, places, token)
            lines.append(Measured("crowded: memory afterwards", [bare.megabytes()], [application.megabytes()], "MB"))
    print(f"Crowded means {crowded}. Ratio: tenantry / bare, the median of {ROUNDS} rounds of {SECONDS} s in turn;")
    print("cpu: the same per second of processor time, which other work on the machine disturbs less.\n")
    print(f"{'':<60} {'ratio':>6} {'cpu':>6} {'bare':>9} {'tenantry':>9}     {'p99 ms':>6} {'tenantry':>6}")
    for line in lines:
        print(line.line())


if __name__ == "__main__":
    main()
