"""The root of the command line: every verb is there, has --json, and says what to do when mistyped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from host.cli.program import VERBS, tenantry


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(tenantry)
    for verb in VERBS:
        found = tenantry.get_command(context, verb)
        assert found is not None, verb
        if isinstance(found, click.Group):
            yield from ((f"{verb} {name}", each) for name, each in found.commands.items())
        else:
            yield verb, found


COMMANDS = dict(commands())
RISKY = [
    "tenant suspend",
    "tenant delete",
    "plugin disable",
    "jobs cancel",
    "jobs retry",
    "limits reconcile",
    "migrate",
]


def options(command: click.Command) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts}


def test_program_when_asked_for_help_then_lists_every_verb_of_the_contract() -> None:
    shown = CliRunner().invoke(tenantry, ["--help"])
    assert shown.exit_code == 0
    for verb in VERBS:
        assert verb in shown.output
    wanted = {
        *(["serve", "worker", "migrate", "demo", "doctor", "routes", "openapi"]),
        *(f"plugin {name}" for name in ["list", "new", "check", "enable", "disable"]),
        *(f"tenant {name}" for name in ["list", "create", "suspend", "resume", "plan", "export", "delete"]),
        *(f"limits {name}" for name in ["show", "set", "unset", "reconcile"]),
        *(f"jobs {name}" for name in ["list", "show", "retry", "cancel"]),
        *(f"verify {name}" for name in ["isolation", "gates", "keys"]),
    }
    assert wanted <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_when_made_then_speaks_json_and_explains_itself(name: str) -> None:
    assert "--json" in options(COMMANDS[name])
    assert COMMANDS[name].get_short_help_str(), f"{name} has no help"


@pytest.mark.parametrize("name", RISKY)
def test_command_when_risky_then_can_be_tried_and_asks_first(name: str) -> None:
    assert {"--dry-run", "--yes"} <= options(COMMANDS[name])


def test_program_when_a_verb_is_mistyped_then_names_the_nearest() -> None:
    done = CliRunner().invoke(tenantry, ["migarte"])
    assert done.exit_code == 2
    assert "migrate" in done.output


def test_program_when_only_help_is_asked_then_the_host_is_not_imported() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from host.cli.program import tenantry\n"
        "CliRunner().invoke(tenantry, ['--help']); sys.exit('host.app' in sys.modules or 'tortoise' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
