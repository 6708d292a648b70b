"""The README's tour: every block is pasted into a shell, and what it prints is what the README says."""

from __future__ import annotations

import json
import os
import re
import subprocess

from .conftest import ROOT

_BLOCK = re.compile(r"```(sh|json|text)\n(.*?)```", re.DOTALL)
_VOLATILE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
)
_MARK = "=== end of block ==="


def tour() -> list[tuple[str, str]]:
    """(commands, what they print) of each block of the tour."""
    text = (ROOT / "README.md").read_text("utf-8").split("## A tour in five minutes")[1].split("\n## ")[0]
    blocks = _BLOCK.findall(text)
    steps: list[tuple[str, str]] = []
    for kind, body in blocks:
        if kind == "sh":
            steps.append((body, ""))
        else:
            steps[-1] = (steps[-1][0], body)
    return steps


def steady(text: str) -> str:
    """Text without ids and times; JSON in one spelling."""
    for pattern, name in _VOLATILE:
        text = pattern.sub(name, text)
    try:
        return json.dumps(json.loads(text), indent=1)
    except ValueError:
        return text.strip()


def printed(server: object) -> list[str]:
    """What each block of the tour prints."""
    script = "set -eu\n" + "".join(f"{commands}\necho '{_MARK}'\n" for commands, _ in tour())
    ran = subprocess.run(
        ["bash", "-c", script],
        check=False,
        env=os.environ | {"API": server.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return ran.stdout.split(f"{_MARK}\n")[:-1]


def test_tour_when_pasted_then_prints_what_the_readme_says(server) -> None:
    for (commands, said), said_really in zip(tour(), printed(server), strict=True):
        assert steady(said_really) == steady(said), f"after\n{commands}"
