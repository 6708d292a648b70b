"""A whole deployment, two web processes and a worker, with traffic, scraped by a real Prometheus."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[3]
TOKEN = "a-token-for-the-scraper"
PASSWORD = "a long enough passphrase"

_MANIFEST = """
id = "{id}"
name = "{id}"
version = "0.1.0"
summary = "Made up by a test."
sdk = ">=0.1,<1"

[requires]
"""
_TRIALS = """
from host.sdk import GiveUp, Routes, Subscription, Task, hookimpl, unit_of_work

routes = Routes()

@routes.post("/trials/stumble", signed_in=True, name="stumble.create", summary="A job that fails")
async def stumble() -> None:
    async with unit_of_work() as work:
        await work.enqueue("trials.stumble")

async def fall() -> None:
    raise GiveUp("it was meant to")

async def listen(event) -> None: ...

@hookimpl
def register_listeners():
    return (Subscription("projects.ProjectCreated", listen),)

@hookimpl
def register_routes():
    return tuple(routes)

@hookimpl
def register_tasks():
    return (Task("stumble", fall, "Fails"),)
"""
_BROKEN = """
from host.sdk import hookimpl

@hookimpl
async def on_start():
    raise RuntimeError("it was meant to")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], Any], seconds: float = 180) -> Any:
    """What `holds` says as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if found := holds():
                return found
        time.sleep(0.2)
    raise AssertionError(f"did not come true within {seconds:g} seconds")


class Deployment:
    """Processes of one application on the embedded default, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._processes: list[subprocess.Popen[bytes]] = []
        made_up = {"trials": _TRIALS, "trials_broken": _BROKEN}
        plugins = self._furnish(made_up)
        (folder / "config").symlink_to(ROOT / "config")
        (folder / "plugins.toml").write_text((ROOT / "plugins.toml").read_text() + plugins)
        path = os.pathsep.join([str(folder / "made-up"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        self._environment = os.environ | {
            "PYTHONPATH": path,
            "PORT": str(self.port),
            "DATABASE_URL": "",
            "REDIS_URL": "",
            "TENANTRY_DATA__DIR": str(folder / "data"),
            "TENANTRY_METRICS__TOKEN": TOKEN,
            "TENANTRY_RATES__SIGN_IN": "3/minute",
            "TENANTRY_RATES__PUBLIC": "100000/minute",
        }

    def _furnish(self, sources: dict[str, str]) -> str:
        wheel = self.folder / "made-up"
        about = wheel / "tenantry_made_up-0.1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tenantry-made-up\nVersion: 0.1.0\n")
        points = "".join(f"{name} = tenantry_{name}\n" for name in sources)
        (about / "entry_points.txt").write_text(f"[tenantry.plugins]\n{points}")
        for name, source in sources.items():
            package = wheel / f"tenantry_{name}"
            package.mkdir()
            (package / "__init__.py").write_text('"""Made up by a test."""\n')
            (package / "manifest.toml").write_text(_MANIFEST.format(id=name))
            (package / "plugin.py").write_text(source)
        return "".join(f'\n[{name}]\ndefault = "on"\npackage = "tenantry-made-up"\n' for name in sources)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            command = [str(Path(sys.executable).with_name("tenantry")), *arguments]
            started = subprocess.Popen(command, cwd=self.folder, env=self._environment, stdout=log, stderr=log)
        self._processes.append(started)
        return started

    def serve(self) -> None:
        self.start("serve", "--no-jobs", "--workers", "2")
        try:
            until(lambda: httpx.get(f"{self.url}/api/v1/health", timeout=5).status_code == 200)
        except AssertionError as late:
            raise AssertionError((self.folder / "log").read_text()) from late

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()

    def scrape(self) -> str:
        answer = httpx.get(f"{self.url}/api/v1/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.text


class Prometheus:
    """A real one, with the configuration of `config/prometheus` but for where and how often it scrapes."""

    def __init__(self, folder: Path, target: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        shutil.copytree(ROOT / "config" / "prometheus", folder)
        file = folder / "prometheus.yml"
        file.write_text(file.read_text().replace("15s", "1s").replace("web:8000", target))
        (folder / "scrape_token").write_text(TOKEN)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{port}"],
                stdout=log, stderr=log,
            )  # fmt: skip

    def ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=20).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[Any]:
        """Samples of an instant query; a scalar as one."""
        found = self.ask("query", query=expression)
        return found["result"] if found["resultType"] == "vector" else [{"metric": {}, "value": found["result"]}]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


def traffic(deployment: Deployment, organisation: str) -> None:
    """A little of everything that is measured."""
    with httpx.Client(base_url=f"{deployment.url}/api/v1", timeout=30) as client:
        email = f"{organisation}@example.com"
        person = {"email": email, "password": PASSWORD, "name": "Ada", "tenant_name": organisation}
        token = client.post("/auth/register", json=person).json()["data"]["access_token"]
        for number in range(5):
            status = client.post("/auth/login", json={"email": email, "password": "guessed"}).status_code
            assert status == (401 if number < 3 else 429)
        client.headers["Authorization"] = f"Bearer {token}"
        for number in range(5):
            status = client.post("/projects", json={"name": f"Project {number}"}).status_code
            assert status == (201 if number < 3 else 402)
            assert client.get("/projects").status_code == 200
            assert client.get(f"/made/up/{number}").status_code == 404
            message = {"to": ["bob@example.com"], "subject": "Hello", "text": "Hello Bob"}
            assert client.post("/mail/messages", json=message).status_code < 300
            assert client.post("/trials/stumble").status_code == 204
        assert client.get("/metrics").status_code == 403


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two web processes, without a worker."""
    made = Deployment(tmp_path_factory.mktemp("deployment"))
    try:
        made.serve()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def prometheus(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen traffic, jobs run, and jobs that wait."""
    started = Prometheus(tmp_path_factory.mktemp("prometheus") / "config", f"127.0.0.1:{deployment.port}")
    worker = deployment.start("worker")
    try:
        for number in range(2):
            traffic(deployment, f"round-{number}")
            seen = f'sum(tenantry_job_runs_total{{task="trials.stumble"}}) == {5 * (number + 1)}'
            until(lambda seen=seen: started.query(seen))
            time.sleep(3)  # some scrapes in between, so that there is something to take a rate of
        worker.terminate()
        worker.wait(60)
        traffic(deployment, "round-2")
        until(lambda: started.query('sum(tenantry_jobs{state="queued"}) > 10'))
        yield started
    finally:
        started.stop()


def expressions() -> list[tuple[str, str]]:
    """Every query of every dashboard, with where it stands."""
    found = []
    for file in sorted((ROOT / "config" / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            found += [(f"{file.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found
