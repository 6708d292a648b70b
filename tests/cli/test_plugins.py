"""`tenantry plugin`: the list, the check, the switch in plugins.toml, and a new one that works at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUNDLED = sorted(file.parent.name for file in (ROOT / "plugins").glob("*/manifest.toml"))


def named(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "plugins.toml").read_text())


def test_plugins_when_listed_then_come_with_state_and_default(tenantry) -> None:
    rows = {row["id"]: row for row in tenantry("plugin", "list")}
    assert set(rows) == set(BUNDLED)
    for plugin_id, table in named(tenantry.folder).items():
        assert (rows[plugin_id]["state"], rows[plugin_id]["default"]) == ("loaded", table["default"])
        assert (rows[plugin_id]["requires"], rows[plugin_id]["wants"]) == ([], [])


def test_bundled_plugins_when_checked_then_leave_nothing_to_complain_about(tenantry) -> None:
    assert set(tenantry("plugin", "check")["checked"]) == set(named(tenantry.folder))


def test_plugin_when_disabled_then_leaves_plugins_toml_after_a_yes(project) -> None:
    gone = next(iter(named(project.folder)))
    assert project("plugin", "disable", gone, code=1)["code"] == "NOT_CONFIRMED"
    assert f"[{gone}]" not in project("plugin", "disable", gone, "--dry-run")["text"]
    assert gone in named(project.folder)
    project("plugin", "disable", gone, "--yes")
    assert gone not in named(project.folder)
    project("plugin", "enable", gone, "--default", "off", "--dry-run")
    assert gone not in named(project.folder)
    project("plugin", "enable", gone, "--default", "off")
    assert named(project.folder)[gone]["default"] == "off"


def test_plugin_when_unknown_then_the_complaint_names_the_nearest(project) -> None:
    wrong = BUNDLED[0][:-1]
    assert BUNDLED[0] in project("plugin", "enable", wrong, code=1)["message"]
    assert project("plugin", "check", "nothing_like_it", code=1)["code"] == "NOT_FOUND"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project folder with the bundled plugins copied, so that new ones may be written beside them."""
    for name in ("config", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "plugins.toml", tmp_path / "plugins.toml")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    return tmp_path


def run(tree: Path, *arguments: str, code: int = 0, module: str = "host.cli") -> Any:
    """In a process of its own, where `plugins` is the copy and `host` ours."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    env["PYTHONPATH"] = os.pathsep.join((str(tree), str(ROOT)))
    call = (
        [sys.executable, "-c", "from host.cli import main; main()"]
        if module == "host.cli"
        else [sys.executable, "-m", module]
    )
    done = subprocess.run(
        [*call, *arguments], cwd=tree, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)["data"] if "--json" in arguments else done.stdout


@pytest.mark.parametrize("model", [False, True])
def test_plugin_when_new_then_works_at_once(tree: Path, model: bool) -> None:
    flags = ["--model"] if model else []
    written = run(tree, "plugin", "new", "letters", "--test", *flags, "--json")
    assert "plugins/letters/plugin.py" in written["files"]
    assert "letters" in named(tree)
    if model:
        assert run(tree, "migrate", "--make", "letters", "--json")["file"].endswith("0001_initial.py")
    assert run(tree, "plugin", "check", "letters", "--json")["findings"] == []
    tested = run(tree, "-q", "tests/plugins/letters", module="pytest")
    assert "2 passed" in tested


def test_plugin_when_it_imports_what_it_may_not_then_the_check_says_so(tree: Path) -> None:
    run(tree, "plugin", "new", "letters", "--json")
    body = tree / "plugins" / "letters" / "plugin.py"
    other = BUNDLED[-1]
    future = "from __future__ import annotations\n"
    windows = f"{future}from tenants.context import cross_tenant\nfrom plugins.{other} import models\n"
    body.write_text(windows + body.read_text().split(future)[1])
    findings = [finding["what"] for finding in run(tree, "plugin", "check", "letters", "--json", code=1)["findings"]]
    for word in (
        "docstring",
        "tenants.context",
        f"plugins.{other}.models",
        "does not require",
    ):
        assert any(word in what for what in findings), (word, findings)
