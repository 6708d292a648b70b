"""A new mail provider is one module and one line: it is added to a copy of the plugin, and then sends mail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NEW = Path(__file__).with_name("new_provider")


@pytest.mark.timeout(300)
def test_provider_when_added_by_one_module_and_one_line_then_it_has_settings_accounts_and_webhooks(
    tmp_path: Path,
) -> None:
    for name in ("config", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "plugins.toml", tmp_path / "plugins.toml")
    providers = tmp_path / "plugins" / "mail" / "providers"
    shutil.copy(NEW / "pigeon.py", providers / "pigeon.py")
    catalogue = (providers / "catalogue.py").read_text("utf-8")
    (providers / "catalogue.py").write_text(catalogue.replace('    "ses",\n', '    "ses",\n    "pigeon",\n'), "utf-8")
    shutil.copy(NEW / "pigeon_over_http.py", tmp_path / "test_pigeon.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    environment["PYTHONPATH"] = os.pathsep.join((str(tmp_path), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_pigeon.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
