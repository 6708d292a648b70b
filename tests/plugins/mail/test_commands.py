"""`tenantry mail …`: sent and drained from the command line, on an application of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT


class Keyboard:
    """Runs `tenantry` on a data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, fails: bool = False) -> Any:
        command = [sys.executable, "-c", "from host.cli import main; main()", *arguments]
        environment = {"TENANTRY_DATA__DIR": str(self.folder), "PATH": "/usr/bin:/bin", "HOME": str(self.folder)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return json.loads(done.stdout) if "--json" in arguments and done.stdout else done.stdout + done.stderr


@pytest.fixture
def keyboard(tmp_path: Path) -> Keyboard:
    made = Keyboard(tmp_path / "data")
    made.run("migrate")
    made.run("tenant", "create", "Acme", "--slug", "acme")
    return made


@pytest.mark.timeout(300)
def test_commands_when_a_message_is_sent_and_jobs_are_drained_then_it_lies_in_the_outbox(keyboard: Keyboard) -> None:
    acme = ("--tenant", "acme", "--json")
    sent = keyboard.run("mail", "send", "ada@example.com", "--subject", "Hello", "--text", "Hello Ada", *acme)
    assert (sent["success"], sent["data"]["status"]) == (True, "queued")
    assert keyboard.run("mail", "queue", *acme)["data"]["waiting"] == {"queued": 1}
    assert keyboard.run("jobs", "drain", "--json")["data"]["ran"] >= 1
    [listed] = keyboard.run("mail", "outbox", *acme)["data"]
    assert (listed["to"], listed["subject"]) == ("ada@example.com", "Hello")
    assert "Hello Ada" in keyboard.run("mail", "outbox", listed["name"], *acme)["data"]["content"]


@pytest.mark.timeout(300)
def test_commands_when_something_is_wrong_then_said_with_its_remedy(keyboard: Keyboard) -> None:
    assert "--tenant" in keyboard.run("mail", "queue", fails=True)
    assert "no tenant 'nobody'" in keyboard.run("mail", "queue", "--tenant", "nobody", fails=True)
    answer = keyboard.run("mail", "send", "no address", "--text", "x", "--tenant", "acme", "--json", fails=True)
    assert answer["error"]["code"] == "VALIDATION_ERROR"
