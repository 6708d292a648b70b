"""A real server process, on the embedded default and on PostgreSQL with Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
import redis

ROOT = Path(__file__).parents[2]
BACKENDS = ["embedded"] + (["servers"] if os.environ.get("TEST_DATABASE_URL") else [])
OPERATOR = ("operator@example.com", "correct horse battery staple")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`tenantry serve` as a process of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        self.environment = os.environ | environment | {
            "PORT": str(self.port),
            "TENANTRY_DATA__DIR": str(folder / "data"),
            "TENANTRY_OPERATOR__EMAIL": OPERATOR[0],
            "TENANTRY_OPERATOR__PASSWORD": OPERATOR[1],
            "TENANTRY_RATES__SIGN_IN": "100/minute",
            "TENANTRY_RATES__AUTHENTICATED": "1000000/minute",
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            command = [str(Path(sys.executable).with_name("tenantry")), "serve"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/api/v1/ready", timeout=2).status_code == 200:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"the server did not become ready:\n{self.log}")

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)


async def _administer(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(params=BACKENDS)
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    environment = {"DATABASE_URL": "", "REDIS_URL": ""}
    name = f"tenantry_test_{uuid4().hex[:12]}"
    if request.param == "servers":
        admin, redis_url = os.environ["TEST_DATABASE_URL"], os.environ["TEST_REDIS_URL"].rstrip("/")
        await _administer(admin, f'CREATE DATABASE "{name}"')
        number = 1 + os.getpid() % 14
        redis_url = f"{redis_url.rsplit('/', 1)[0] if redis_url.count('/') > 2 else redis_url}/{number}"
        redis.Redis.from_url(redis_url).flushdb()
        environment = {"DATABASE_URL": f"{admin.rsplit('/', 1)[0]}/{name}", "REDIS_URL": redis_url}
    started = Server(tmp_path, environment)
    try:
        started.start()
        yield started
    finally:
        started.stop()
        if request.param == "servers":
            await _administer(admin, f'DROP DATABASE "{name}" WITH (FORCE)')


class Person:
    """Somebody with an account, talking to the server over HTTP."""

    def __init__(self, server: Server, email: str, password: str = "a long enough passphrase") -> None:
        self.server, self.email, self.password = server, email, password
        self.client = httpx.Client(base_url=f"{server.url}/api/v1", timeout=20)

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def register(self, name: str, tenant_name: str | None = None) -> dict[str, object]:
        body = {"email": self.email, "password": self.password, "name": name}
        if tenant_name is not None:
            body["tenant_name"] = tenant_name
        return self._signed_in(self.client.post("/auth/register", json=body), 201)

    def login(self) -> dict[str, object]:
        answer = self.client.post("/auth/login", json={"email": self.email, "password": self.password})
        return self._signed_in(answer, 200)

    def _signed_in(self, answer: httpx.Response, status: int) -> dict[str, object]:
        assert answer.status_code == status, answer.text
        data = answer.json()["data"]
        self.client.headers["Authorization"] = f"Bearer {data['access_token']}"
        return data

    def ask(self, method: str, path: str, status: int = 200, **options: object) -> object:
        """The `data` of a success, or the `error` of a refusal, after checking the status."""
        answer = self.client.request(method, path, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        if status == 204:
            return None
        body = answer.json()
        assert body["success"] is (status < 400)
        return body["data"] if status < 400 else body["error"]


@pytest.fixture
def person(server: Server) -> Iterator[object]:
    people: list[Person] = []

    def make(email: str, password: str = "a long enough passphrase") -> Person:
        people.append(Person(server, email, password))
        return people[-1]

    yield make
    for each in people:
        each.client.close()
