"""The plugin that `tenantry plugin new` draws: small, whole and in our style."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from host.cli.scaffold import Sketch, draw, write
from host.cli.terminal import Complaint
from host.registry.manifest import Manifest
from host.settings.files import read_file

ROOT = Path(__file__).parents[2]


def test_sketch_when_smallest_then_is_three_files(tmp_path: Path) -> None:
    files = draw(Sketch("letters", "Letters", "Writes letters."), tmp_path)
    assert [file.name for file in files] == ["manifest.toml", "__init__.py", "plugin.py"]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("model", [False, True])
def test_sketch_when_written_then_is_in_our_style(tmp_path: Path, model: bool) -> None:
    write(draw(Sketch("letters", 'The "best"\nletters', "Writes letters.", model=model, test=True), tmp_path))
    manifest = read_file(tmp_path / "plugins" / "letters" / "manifest.toml", Manifest)
    assert (manifest.id, manifest.name) == ("letters", "The 'best' letters")
    for check in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *check, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run([*ruff, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("plugin_id", "word"), [("Letters", "lower-case"), ("host", "reserved"), ("x", "not a plugin id")]
)
def test_sketch_when_its_id_cannot_be_then_says_why(tmp_path: Path, plugin_id: str, word: str) -> None:
    with pytest.raises(Complaint, match=word):
        draw(Sketch(plugin_id, "x", "x"), tmp_path)


def test_sketch_when_the_plugin_exists_then_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "plugins" / "letters").mkdir(parents=True)
    with pytest.raises(Complaint, match="already"):
        draw(Sketch("letters", "x", "x"), tmp_path)
