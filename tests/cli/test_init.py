"""`tenantry init`: an empty folder becomes a deployment; nothing that is there is touched."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from click.testing import CliRunner

from host.cli import init
from host.cli.program import tenantry

ROOT = Path(__file__).parents[2]


def test_init_when_the_folder_is_empty_then_writes_what_the_checkout_has(tmp_path: Path) -> None:
    done = CliRunner().invoke(tenantry, ["init", str(tmp_path / "new"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["data"]["written"] == [*init.FILES, ".gitignore"]
    for name in init.FILES:
        assert (tmp_path / "new" / name).read_text() == (ROOT / name).read_text()


def test_init_when_files_are_there_then_leaves_them(tmp_path: Path) -> None:
    (tmp_path / "plugins.toml").write_text("# mine\n")
    done = CliRunner().invoke(tenantry, ["init", str(tmp_path), "--json"])
    assert json.loads(done.stdout)["data"]["kept"] == ["plugins.toml"]
    assert (tmp_path / "plugins.toml").read_text() == "# mine\n"


def test_init_when_only_looking_then_writes_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(tenantry, ["init", str(tmp_path), "--dry-run", "--json"])
    assert done.exit_code == 0
    assert not any(tmp_path.iterdir())


def test_wheel_when_built_then_holds_the_starter_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, timeout=100, capture_output=True)
    (wheel,) = tmp_path.glob("tenantry-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for file in init.FILES:
        assert any(name.endswith(f".data/data/share/tenantry/{file}") for name in names), file
