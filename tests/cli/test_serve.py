"""`tenantry serve`, as a process: the first start, what it tells to paste, the second start, the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
TENANTRY = [sys.executable, "-c", "from host.cli import main; main()"]
PATIENCE = 90.0  # seconds; a loaded machine starts slowly


@dataclass
class Project:
    """A folder in which `tenantry` is started as a process of its own."""

    folder: Path
    env: dict[str, str]

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*TENANTRY, "serve", *options],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copy(ROOT / "plugins.toml", tmp_path / "plugins.toml")
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    for name in ("PORT", "DATABASE_URL", "REDIS_URL"):
        bare.pop(name, None)
    return Project(tmp_path, {**bare, "PYTHONPATH": str(ROOT)})


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        found = int(probe.getsockname()[1])
    return found


def greeting(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The document that `serve --json` prints before it serves."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.rstrip() == b"}":
            return dict(json.loads(b"".join(lines))["data"])
    raise AssertionError(f"it ended: {process.stderr.read().decode()}")  # type: ignore[union-attr]


def ready(port: int) -> dict[str, Any]:
    """What /ready answers, as soon as somebody does."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/ready", timeout=5)
            return {"status": answer.status_code, **answer.json()}
        except httpx.TransportError:
            assert time.monotonic() < until, "it never came up"
            time.sleep(0.1)


def stop(process: subprocess.Popen[bytes]) -> str:
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=PATIENCE)[1].decode()
    assert process.returncode == 0, errors
    return errors


def test_serve_when_first_started_then_what_it_tells_to_paste_works(project: Project, port: int) -> None:
    process = project.start("--port", str(port), "--json")
    told = greeting(process)
    assert told["address"] == f"http://127.0.0.1:{port}"
    assert ready(port)["status"] == 200
    script = "\n".join(["set -eu", *told["curl"]])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=True)
    answers = [json.loads(text) for text in done.stdout.replace("}{", "}\n{").splitlines()]
    assert [answer["success"] for answer in answers] == [True], answers
    again = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert json.loads(again.stdout)["success"], "an organisation of that name was there already"
    errors = stop(process)
    assert "Traceback" not in errors

    again = project.start("--port", str(port), "--json")
    assert "operator" not in greeting(again)
    assert ready(port)["status"] == 200
    stop(again)
    left = subprocess.run(["pgrep", "-f", str(project.folder)], capture_output=True, text=True, check=False)
    assert left.stdout == "", "something was left running"


def test_serve_when_the_operator_comes_from_the_environment_then_what_it_tells_to_paste_works(
    project: Project, port: int
) -> None:
    password = """it's "my" $PASSWORD"""
    project.env |= {"TENANTRY_OPERATOR__EMAIL": "ops@example.com", "TENANTRY_OPERATOR__PASSWORD": password}
    process = project.start("--port", str(port), "--json")
    told = greeting(process)
    assert password not in json.dumps(told)
    assert ready(port)["status"] == 200
    script = "\n".join(["set -eu", *told["curl"]])
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=True, env=project.env
    )
    assert json.loads(done.stdout)["success"], done
    stop(process)


def test_serve_when_a_handlers_parameter_is_misspelt_then_refuses_and_names_it(project: Project) -> None:
    plugin = project.folder / "plugins" / "letters"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text('"""Letters."""\n')
    (plugin / "manifest.toml").write_text(
        'id = "letters"\nname = "Letters"\nversion = "0.1.0"\nsummary = "Letters."\nsdk = "*"\n'
    )
    (plugin / "plugin.py").write_text(
        "from host.sdk import Route, hookimpl\n\n\n"
        "async def read(quer: str) -> dict[str, str]:\n    return {}\n\n\n"
        "@hookimpl\ndef register_routes() -> list[Route]:\n"
        '    return [Route("GET", "/letters", read, "letters.list", "Letters", signed_in=True)]\n'
    )
    with (project.folder / "plugins.toml").open("a") as file:
        file.write('\n[letters]\ndefault = "on"\n')
    process = project.start("--port", "0", "--json")
    out = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 1
    message = json.loads(out)["error"]["message"]
    assert "letters" in message
    assert "'quer'" in message


def test_serve_when_its_port_is_in_use_then_says_so_kindly(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        process = project.start("--port", str(number), "--json")
        out = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 1
    error = json.loads(out)["error"]
    assert error["code"] == "PORT_IN_USE"
    assert str(number) in error["message"]
    assert f"--port {number + 1}" in error["fix"]
    assert not (project.folder / ".tenantry").exists()


def test_serve_when_told_to_stop_then_finishes_what_runs(project: Project, port: int) -> None:
    process = project.start("--port", str(port), "--json", "--no-jobs")
    operator = greeting(process)["operator"]
    ready(port)
    idle = socket.create_connection(("127.0.0.1", port))
    idle.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert idle.recv(1000).startswith(b"HTTP/1.1 200")
    body = json.dumps(operator).encode()
    head = (
        f"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    with socket.create_connection(("127.0.0.1", port)) as busy:
        busy.sendall(f"{head}\r\n\r\n".encode() + body)
        time.sleep(0.05)  # the password is being hashed now
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        busy.settimeout(PATIENCE)
        assert busy.recv(1000).startswith(b"HTTP/1.1 200")
    process.communicate(timeout=PATIENCE)
    idle.close()
    assert process.returncode == 0
    assert time.monotonic() - began < 30, "an idle connection held it up"


def test_serve_when_a_plugin_fails_then_strict_refuses_and_the_default_goes_on(project: Project, port: int) -> None:
    copied = project.folder / "plugins"
    shutil.copytree(ROOT / "plugins", copied, ignore=shutil.ignore_patterns("__pycache__"))
    broken = copied / "letters"
    broken.mkdir()
    (broken / "__init__.py").write_text('"""Letters."""\n')
    (broken / "plugin.py").write_text('"""Broken."""\n\nraise RuntimeError("no ink")\n')
    manifest = 'id = "letters"\nname = "Letters"\nversion = "0.1.0"\nsummary = "Broken."\nsdk = "*"\n'
    (broken / "manifest.toml").write_text(manifest)
    with (project.folder / "plugins.toml").open("a") as file:
        file.write('\n[letters]\ndefault = "on"\n')
    project.env["PYTHONPATH"] = os.pathsep.join((str(project.folder), str(ROOT)))
    strict = project.start("--port", str(port), "--json", "--strict")
    out = strict.communicate(timeout=PATIENCE)[0]
    assert strict.returncode == 1
    assert "no ink" in json.loads(out)["error"]["message"]
    process = project.start("--port", str(port), "--json")
    greeting(process)
    assert ready(port)["status"] == 200
    stop(process)


@pytest.mark.parametrize("server", ["hypercorn", "uvicorn", "granian"])
def test_serve_when_in_many_processes_then_answers_and_ends(project: Project, port: int, server: str) -> None:
    pytest.importorskip(server)
    process = project.start("--port", str(port), "--json", "--server", server, "--workers", "2")
    greeting(process)
    assert ready(port)["status"] == 200
    stop(process)


def test_serve_when_one_of_its_processes_is_killed_then_ends_as_failed_and_says_so(project: Project, port: int) -> None:
    process = project.start("--port", str(port), "--json", "--workers", "2")
    greeting(process)
    assert ready(port)["status"] == 200
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    errors = process.communicate(timeout=PATIENCE)[1].decode()
    assert process.returncode == 1, errors  # so that a service manager starts it again
    assert "a web process ended by itself or was killed" in errors
