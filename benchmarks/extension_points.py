"""The start of 100 plugins with five contributions each, against the same plugins without any.

Run with `python -m benchmarks.extension_points`. Each start is a process of its own; what is compared is the CPU time
that loading plugins takes, as the middle of several starts.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

PLUGINS, POINTS, EACH, STARTS = 100, 10, 5, 7

_MANIFEST = 'id = "p{0}"\nname = "P"\nversion = "1"\nsummary = "x"\nsdk = "*"\n'
_PLUGIN = """
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from host import sdk

@dataclass(frozen=True)
class Card:
    title: str
    read: Callable[[], Awaitable[str]]
    order: int = 0
    tags: tuple[str, ...] = ()

async def read() -> str:
    return "x"
"""
_POINT = """
@sdk.hookimpl
def register_extension_points():
    return [sdk.ExtensionPoint("p{0}.cards", Card)]
"""
_CONTRIBUTIONS = """
@sdk.hookimpl
def register_contributions():
    return [
        sdk.Contribution(f"p{{number}}.cards", {{"title": "Card", "read": read, "order": number, "tags": ("a", "b")}})
        for number in range({0}, {0} + {1})
    ]
"""
_START = """
import sys, time
from pathlib import Path
from host import core_plugin
from host.registry.registry import Registry
from tenants.plans import Plans
began = time.process_time()
Registry.load(Path(sys.argv[1]), plans=Plans("", ()), host_plugin=core_plugin, env={}, bundled="benched")
print(time.process_time() - began)
"""


def write(folder: Path, contributions: int) -> None:
    """A deployment of plugins, some of which offer points; each contributes so many times."""
    (folder / "plugins.toml").write_text("".join(f'[p{number}]\ndefault = "on"\n' for number in range(PLUGINS)))
    for number in range(PLUGINS):
        plugin = folder / "benched" / f"p{number}"
        plugin.mkdir(parents=True)
        (plugin / "__init__.py").touch()
        (plugin / "manifest.toml").write_text(_MANIFEST.format(number))
        point = _POINT.format(number) if number < POINTS else ""
        added = _CONTRIBUTIONS.format(number % (POINTS - EACH), contributions) if contributions else ""
        (plugin / "plugin.py").write_text(_PLUGIN + point + added)


def seconds(folder: Path) -> float:
    """CPU seconds that one start spends on loading the plugins."""
    command = [sys.executable, "-c", _START, str(folder / "plugins.toml")]
    environment = {"PYTHONPATH": f"{folder}:{Path(__file__).parents[1]}"}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Print both, and the difference."""
    with TemporaryDirectory() as without, TemporaryDirectory() as with_contributions:
        folders = (Path(without), Path(with_contributions))
        for folder, contributions in zip(folders, (0, EACH), strict=True):
            write(folder, contributions)
            seconds(folder)  # compiles
        starts = [[seconds(folder) for folder in folders] for _ in range(STARTS)]
    plain, contributing = (median(column) for column in zip(*starts, strict=True))
    print(f"{PLUGINS} plugins: {plain:.3f} s; with {EACH} contributions each: {contributing:.3f} s, which is", end=" ")
    print(f"{contributing - plain:+.3f} s (at most +0.3)")


if __name__ == "__main__":
    main()
