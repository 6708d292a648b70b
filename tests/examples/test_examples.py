"""The example plugins: how small the smallest is, and that all work in a deployment, as an author would run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from host.registry import deployment as plugins_file

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NAMES = ("notes", "welcome", "documents", "links", "trial")


def test_notes_when_counted_then_at_most_sixty_lines_in_three_files() -> None:
    files = [file for file in (EXAMPLES / "notes").rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    lines = {file.name: len(file.read_text("utf-8").splitlines()) for file in files}
    assert len(files) <= 3, sorted(lines)
    assert sum(lines.values()) <= 60, lines


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    """A deployment of the bundled plugins and of the examples, which were copied into it."""
    for name in ("config", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "plugins.toml", tmp_path / "plugins.toml")
    for name in NAMES:
        shutil.copytree(EXAMPLES / name, tmp_path / "plugins" / name, ignore=shutil.ignore_patterns("__pycache__"))
        plugins_file.enable(tmp_path / "plugins.toml", name, default="on")
    with (tmp_path / "config" / "plans.toml").open("a") as plans:
        plans.write("\n[pro.trial]\ndays = 14\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    shutil.copy(Path(__file__).with_name("examples_over_http.py"), tmp_path / "test_examples.py")
    return tmp_path


@pytest.mark.timeout(400)  # four processes, one of which migrates a database
async def test_examples_when_copied_and_migrated_then_checked_and_work_over_http(
    backend: str, deployment: Path, new_place: Any
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    environment["PYTHONPATH"] = os.pathsep.join((str(deployment), str(ROOT)))
    environment["EXAMPLES_DATABASE_URL"] = (await new_place())["url"] if backend == "postgres" else ""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=deployment,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    command_line = ("-c", "from host.cli import main; main()")
    for name in ("notes", "links"):
        run(*command_line, "migrate", "--make", name)
    assert json.loads(run(*command_line, "plugin", "check", *NAMES, "--json"))["data"]["findings"] == []
    assert "1 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_examples.py")
