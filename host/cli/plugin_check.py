"""Check a plugin's source code by parsing it: imports, docstrings and migrations."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from host.registry.discovery import Found
from host.registry.kinds import MODELS
from host.registry.registry import Registry

Finding = dict[str, str]
HOST_PACKAGES = ("host", "tenants")
SDK = "host.sdk"


def look(plugin: Found, loaded: Registry | None) -> list[Finding]:
    """Every complaint about one plugin; `loaded` is None when the deployment could not be loaded."""
    folder = plugin.manifest.path.parent
    findings: list[Finding] = []
    for file in sorted(folder.rglob("*.py")):
        shown = file.relative_to(folder.parent)
        try:
            tree = ast.parse(file.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError) as error:
            findings.append(_finding(f"{shown} cannot be read: {error}", "correct it"))
            continue
        if not ast.get_docstring(tree) and "migrations" not in file.parts:
            findings.append(_finding(f"{shown} has no docstring", "say in its first line what the module is"))
        findings += _imports(tree, shown, plugin)
    return [*findings, *_declared(plugin, folder, loaded)]


def _imports(tree: ast.Module, shown: Path, plugin: Found) -> Iterator[Finding]:
    for node in ast.walk(tree):
        for name in _imported(node):
            top = name.split(".")[0]
            if top in HOST_PACKAGES and name != SDK and not name.startswith(f"{SDK}."):
                yield _finding(
                    f"{shown}:{_line(node)} imports {name}", f"import it from {SDK}, the one module for plugins"
                )
            parts = name.split(".")
            if top == "plugins" and len(parts) > 1 and not name.startswith(plugin.package):
                if parts[2:3] != ["public"]:
                    yield _finding(
                        f"{shown}:{_line(node)} imports {name}", f"use plugins.{parts[1]}.public, or an event"
                    )
                if parts[1] not in plugin.manifest.requires:
                    fix = f'add {parts[1]} = ">=…" to [requires] of manifest.toml'
                    yield _finding(f"{shown}:{_line(node)} uses {parts[1]}, which it does not require", fix)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        if node.module in {"host", "plugins"} or (node.module.count(".") == 1 and node.module.startswith("plugins.")):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield node.module


def _declared(plugin: Found, folder: Path, loaded: Registry | None) -> Iterator[Finding]:
    if loaded is None:
        return
    mine = plugin.manifest.id
    if loaded.catalog.of(mine, MODELS) and not list((folder / "migrations").glob("[0-9]*.py")):
        yield _finding(f"{mine} has models and no migration", f"`tenantry migrate --make {mine}`")


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _finding(what: str, fix: str) -> Finding:
    return {"what": what, "fix": fix}
