"""The rules of the host that reading the sources can check, besides the import contracts in pyproject.toml."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(file.parent for file in (ROOT / "plugins").glob("*/manifest.toml"))
IDS = [folder.name for folder in PLUGINS]
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
LAYERS = [{"plugin"}, {"routes", "tasks"}, {"service"}, {"models", "events"}]
"""Inside a plugin: who may import whom, from the top down; other files may stand anywhere."""


def sources(*packages: str) -> list[Path]:
    return [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]


def imports(file: Path) -> Iterator[str]:
    """The dotted names a file imports, each name of a `from` import on its own."""
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            origin = (stem + (node.module or "")).rstrip(".")
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def strings(file: Path) -> Iterator[tuple[int, str]]:
    """The string constants of a file, documentation left out."""
    tree = ast.parse(file.read_text("utf-8"))
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def names(text: str, plugin_id: str) -> bool:
    """Whether a string is a plugin's id, or a dotted name, path or key that begins with it."""
    found = re.match(rf"^(?:/?plugins[/.]|/)?{plugin_id}(?:$|[./:_])", text)
    return found is not None


@pytest.mark.parametrize("text", ["letters", "letters.messages.create", "/letters", "plugins.letters", "letters_rows"])
def test_plugin_id_when_it_names_something_then_is_found(text: str) -> None:
    assert names(text, "letters")


@pytest.mark.parametrize("text", ["lettersandmore", "we send letters", "e-letters"])
def test_plugin_id_when_part_of_a_sentence_then_is_let_pass(text: str) -> None:
    assert not names(text, "letters")


def test_host_and_tenants_when_read_then_know_no_plugin_by_name() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text!r}"
        for file in sources("host", "tenants")
        for line, text in strings(file)
        if any(names(text, plugin_id) for plugin_id in IDS)
    ]
    assert found == [], "the host knows plugins through hooks only"


def test_tenants_when_read_then_knows_the_orm_pydantic_what_text_needs_and_nobody_else() -> None:
    for_text = {"anyascii", "email_validator", "idna"}
    allowed = {*sys.stdlib_module_names, "tortoise", "pypika_tortoise", "pydantic", "uuid_utils", "tenants", *for_text}
    found = {
        f"{file.name}: {name}"
        for file in sources("tenants")
        if file.parent.name != "migrations"
        for name in imports(file)
        if name.split(".")[0] not in allowed
    }
    assert found == set()


@pytest.mark.parametrize("folder", PLUGINS, ids=IDS)
def test_plugin_when_it_imports_the_host_or_another_plugin_then_by_what_it_may_use(folder: Path) -> None:
    manifest = tomllib.loads((folder / "manifest.toml").read_text("utf-8"))
    required = set(manifest.get("requires", {}))
    for file in sources(f"plugins/{folder.name}"):
        for name in imports(file):
            package, *rest = name.split(".")
            if package == "host":
                assert rest[:1] == ["sdk"], f"{file.name} imports {name}: plugins know host.sdk only"
            assert package != "tenants", f"{file.name} imports {name}: plugins know host.sdk only"
            if package == "plugins" and rest[:1] != [folder.name]:
                assert rest[1:2] == ["public"], f"{file.name} imports {name}: another plugin offers its public.py only"
                assert rest[0] in required, f"{file.name} imports {name}: the manifest does not require {rest[0]}"


@pytest.mark.parametrize("folder", PLUGINS, ids=IDS)
def test_plugin_when_its_files_import_each_other_then_the_arrow_points_down(folder: Path) -> None:
    layer = {name: level for level, members in enumerate(LAYERS) for name in members}
    for file in sources(f"plugins/{folder.name}"):
        own = file.relative_to(folder).with_suffix("").parts[0]
        for name in imports(file):
            inside = name.removeprefix(f"plugins.{folder.name}.").split(".")[0]
            if name.startswith(f"plugins.{folder.name}.") and own in layer and inside in layer and inside != own:
                assert layer[inside] >= layer[own], f"{own}.py imports {inside}: the arrow points the other way"


def test_modules_when_named_then_say_what_they_are() -> None:
    clashing = {
        str(file.relative_to(ROOT))
        for file in sources("host", "tenants", "plugins")
        if file.stem in EMPTY_WORDS
        or (file.parent.name in {"host", "tenants"} and file.stem in sys.stdlib_module_names)
    }
    assert clashing == set()


def test_sdk_when_read_then_holds_names_and_no_logic() -> None:
    tree = ast.parse((ROOT / "host" / "sdk.py").read_text("utf-8"))
    allowed = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign, ast.AugAssign)
    assert [node.lineno for node in tree.body if not isinstance(node, allowed)] == []
    lists = [ast.unparse(node).split(" ")[0] for node in tree.body if isinstance(node, ast.Assign | ast.AugAssign)]
    assert set(lists) == {"__all__"}


def test_import_contracts_when_checked_then_all_are_kept() -> None:
    run = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run([*run, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
