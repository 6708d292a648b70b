"""The tests of a plugin's author, run as they run them: in a folder of theirs, with nothing configured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from host.cli.program import tenantry

TASKS = '''"""Background work."""

from host.sdk import tenant


async def greet(words: list[str]) -> None:
    if not words or (await tenant()).slug != "acme":
        raise ValueError("nothing to say")
'''
TEST = """
import pytest

from host.testing import TwoTenants

pytestmark = pytest.mark.asyncio


async def test_task_when_run_in_a_tenant_then_ends_well(two_tenants: TwoTenants) -> None:
    await two_tenants.application.run_task("letters.greet", two_tenants.acme, words=["hello"])


async def test_task_when_it_fails_then_says_why(two_tenants: TwoTenants) -> None:
    with pytest.raises(AssertionError, match="nothing to say"):
        await two_tenants.application.run_task("letters.greet", two_tenants.acme, words=[])
"""


def test_author_when_in_a_new_deployment_then_the_tests_run_without_any_setting(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TENANTRY_", "PYTEST_"))}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    for line in ("init", "plugin new letters --model --test", "migrate --make letters"):
        code = f"from host.cli import main; import sys; sys.argv = ['tenantry', *{line.split()!r}]; main()"
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)
    plugin = tmp_path / "plugins" / "letters"
    (plugin / "tasks.py").write_text(TASKS)
    registered = (
        "\n\n@hookimpl\ndef register_tasks() -> list[Task]:\n"
        '    return [Task("greet", greet, summary="Says hello", tries=1)]\n'
    )
    text = (plugin / "plugin.py").read_text() + registered
    (plugin / "plugin.py").write_text(
        text.replace("from host.sdk import ", "from .tasks import greet\nfrom host.sdk import Task, ", 1)
    )
    (tmp_path / "tests" / "plugins" / "letters" / "test_tasks.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_help_when_a_deployment_has_plugins_with_commands_then_lists_them() -> None:
    shown = CliRunner().invoke(tenantry, ["--help"]).output
    assert "init" in shown
    assert "mail" in shown.split("Commands of this deployment's plugins")[1]
