"""docs/extension-points.md lists the extension points of the bundled plugins and the examples as they are declared.

Run this file to write the list anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "extension-points.md"
BEGIN, END = "<!-- points -->\n", "<!-- /points -->\n"
OFFERING = ("dashboard",)
"""The examples that offer points."""


def points() -> Iterator[str]:
    """The lines of the list."""
    from host import core_plugin
    from host.registry.extension_points import fields, summary
    from host.registry.registry import Registry
    from tenants.plans import Plans

    with TemporaryDirectory() as folder:
        examples = Path(folder) / "plugins.toml"
        examples.write_text("".join(f'[{name}]\ndefault = "on"\n' for name in OFFERING))
        for file, package in ((ROOT / "plugins.toml", "plugins"), (examples, "examples")):
            loaded = Registry.load(file, plans=Plans("", ()), host_plugin=core_plugin, env={}, bundled=package)
            for name, point in loaded.extension_points.points.items():
                yield f"### `{name}`\n\n{summary(point)} A call of a function may take {point.timeout:g} seconds.\n\n"
                yield "| field | type | default |\n|---|---|---|\n"
                for field in fields(point):
                    default = f"`{field.default}`" if field.default else "must be given"
                    yield f"| `{field.name}` | `{field.type}` | {default} |\n"
                yield "\n"


def written() -> str:
    """The page with its list as it should be."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + "".join(points()) + END + rest.partition(END)[2]


def test_page_when_compared_with_the_declared_points_then_it_lists_them() -> None:
    assert PAGE.read_text("utf-8") == written(), "python tests/examples/test_points_page.py writes it anew"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(written(), "utf-8")
