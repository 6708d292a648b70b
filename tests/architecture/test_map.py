"""The README's map is made of the modules' first docstring lines; run as a program, this file writes it anew."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
OPENING, CLOSING = "<!-- map -->\n```text\n", "```\n<!-- /map -->"


def modules() -> list[Path]:
    """Every module of ours that a reader may want to find; generated migrations are left out."""
    found = [file for package in ("host", "tenants", "plugins") for file in sorted((ROOT / package).rglob("*.py"))]
    return [file for file in found if "migrations" not in file.relative_to(ROOT).parts]


def first_line(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8")))
    return docstring.splitlines()[0] if docstring else ""


def entry(file: Path) -> tuple[str, str]:
    path = file.relative_to(ROOT)
    shown = f"{path.parent}/" if path.name == "__init__.py" else str(path)
    return shown, first_line(file)


def is_shown(file: Path) -> bool:
    """The map shows two levels: packages, and the modules beside them."""
    parts = file.relative_to(ROOT).parts
    if parts[0] == "plugins":
        return file.name == "__init__.py" and len(parts) <= 3
    return len(parts) == 2 or (file.name == "__init__.py" and len(parts) == 3)


def readme_map() -> str:
    entries = sorted((shown, line) for shown, line in map(entry, filter(is_shown, modules())))
    width = max(len(shown) for shown, _ in entries) + 2
    return "".join(f"{shown:<{width}}{line}\n" for shown, line in entries)


def test_readme_map_when_compared_then_equals_the_modules_first_lines() -> None:
    text = README.read_text("utf-8")
    assert OPENING in text, "README.md lost its map: put the two <!-- map --> marks back, then `make map`"
    written = text.split(OPENING)[1].split(CLOSING)[0]
    assert written == readme_map(), "README.md: the map is out of date; `make map` writes it"


def test_every_module_of_ours_when_read_then_says_in_its_first_line_what_it_is() -> None:
    ours = [*modules(), *sorted((ROOT / "benchmarks").rglob("*.py"))]
    silent = [str(file.relative_to(ROOT)) for file in ours if not first_line(file).rstrip().endswith((".", "?"))]
    assert silent == [], f"give these modules a first docstring line that is one sentence: {silent}"


def write() -> None:
    text = README.read_text("utf-8")
    if OPENING not in text:
        sys.exit(f"README.md has no map: put these lines where it belongs\n{OPENING}{CLOSING}")
    before, rest = text.split(OPENING, 1)
    README.write_text(before + OPENING + readme_map() + CLOSING + rest.split(CLOSING, 1)[1], "utf-8")


if __name__ == "__main__":
    write()
