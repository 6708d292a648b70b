"""`docs/sdk.md` and `docs/hooks.md` are made of the docstrings; run as a program, this file writes them anew."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from host import testing

ROOT = Path(__file__).parents[2]
SDK, HOOKS = ROOT / "docs" / "sdk.md", ROOT / "docs" / "hooks.md"
UNUSED_YET = frozenset(
    {
        *("invite", "principals", "trace_headers", "Contributed", "MONTHLY_ANALYTICS", "cache"),
        *("LiveMessage", "PresignedUpload"),
    }
)
"""Names for plugins that are not bundled yet; a name leaves this list when a plugin or an example uses it."""

_GROUP = re.compile(r"^__all__ \+?= \[  # (?P<title>.+)$", re.MULTILINE)
_EXAMPLE = re.compile(r"\n*^Example:\n(?P<code>(?:    .*\n|\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One name: how it is called, its docstring without the example, and the methods of a class."""

    name: str
    signature: str
    text: str
    example: str
    methods: tuple[str, ...]


def groups() -> Mapping[str, tuple[str, ...]]:
    """Title -> names, as host/sdk.py lists them."""
    source = (ROOT / "host" / "sdk.py").read_text("utf-8")
    titles = [match["title"] for match in _GROUP.finditer(source)]
    lists = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign | ast.AugAssign) and "__all__" in ast.unparse(node).split(" ")[0]
    ]
    return {title: tuple(ast.literal_eval(names)) for title, names in zip(titles, lists, strict=True)}


def entry(name: str, package: str = "host.sdk") -> Entry:
    """The entry of one name, read from the module that defines it."""
    module, own_name = _origin(package, name)
    tree = ast.parse(_file(module).read_text("utf-8"))
    node, docstring = _definition(tree, own_name)
    match = _EXAMPLE.search(f"{docstring}\n")
    example = textwrap.dedent(match["code"]).strip() if match else ""
    text = (_EXAMPLE.sub("\n", f"{docstring}\n") if match else docstring).strip()
    return Entry(name, _signature(node, name), text, example, tuple(_methods(node)))


def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _origin(module: str, name: str) -> tuple[str, str]:
    """The module that defines what another one imports under this name, and its name there."""
    for node in ast.walk(ast.parse(_file(module).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                if (alias.asname or alias.name) == name and node.module.split(".")[0] in {"host", "tenants"}:
                    return _origin(node.module, alias.name)
    return module, name


def _definition(tree: ast.Module, name: str) -> tuple[ast.stmt, str]:
    for number, node in enumerate(tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return node, ast.get_docstring(node) or ""
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            after = tree.body[number + 1] if number + 1 < len(tree.body) else None
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            return node, inspect.cleandoc(str(after.value.value)) if is_text else ""
    raise LookupError(name)


def _signature(node: ast.stmt, name: str) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        managed = any("contextmanager" in ast.unparse(decorator) for decorator in node.decorator_list)
        word = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"{word}{'with' if managed else 'def'} {name}({ast.unparse(node.args)}){'' if managed else returns}"
    if not isinstance(node, ast.ClassDef):
        return name
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign) and not ast.unparse(item).startswith("_")]
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list) or any(
        ast.unparse(base) == "Event" for base in node.bases
    ):
        return f"class {name}({', '.join(ast.unparse(item) for item in fields)})"
    made = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
    arguments = _arguments(made) if made else ""
    return f"class {name}({arguments})" if arguments else f"class {name}"


def _methods(node: ast.stmt) -> Iterator[str]:
    """A list of a class's public methods, each with the first line of its docstring."""
    for item in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_"):
            line = (ast.get_docstring(item) or "").partition("\n")[0]
            yield f"- `{item.name}({_arguments(item)})` {line}".rstrip()


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return re.sub(r"^(self|cls)(, )?", "", ast.unparse(function.args))


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def sdk_page() -> str:
    """The text of docs/sdk.md."""
    summary, *rest = (ast.get_docstring(ast.parse(_file("host.sdk").read_text("utf-8"))) or "").split("\n\n")
    chapters = {title: [entry(name) for name in names] for title, names in groups().items()}
    chapters["Testing"] = [entry(name, "host.testing") for name in testing.__all__]
    parts = ["# host.sdk", summary, *rest, "\n".join(f"- [{title}](#{_anchor(title)})" for title in chapters)]
    for title, entries in chapters.items():
        parts += [f"## {title}", *([testing.__doc__ or ""] if title == "Testing" else [])]
        for shown in entries:
            parts += [f"### {shown.name}", f"```text\n{_wrapped(shown.signature)}\n```", shown.text]
            parts += ["\n".join(shown.methods)] if shown.methods else []
            parts += [f"```python\n{shown.example}\n```"] if shown.example else []
    return "\n\n".join(parts) + "\n"


def _wrapped(signature: str) -> str:
    return "\n".join(textwrap.wrap(signature, 110, subsequent_indent="    ", break_long_words=False))


def hooks_page() -> str:
    """The text of docs/hooks.md."""
    tree = ast.parse(_file("host.hookspecs").read_text("utf-8"))
    specs = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "HookSpecs")
    parts = ["# Hooks", ast.get_docstring(tree) or "", ast.get_docstring(specs) or ""]
    for item in specs.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            word = "async def" if isinstance(item, ast.AsyncFunctionDef) else "def"
            returns = ast.unparse(item.returns) if item.returns else "None"
            parts += [f"## {item.name}", f"```python\n{word} {item.name}({_arguments(item)}) -> {returns}\n```"]
            parts.append(ast.get_docstring(item) or "")
    return "\n\n".join(parts) + "\n"


def used() -> frozenset[str]:
    """The names of the SDK that bundled plugins and examples use."""
    names = set()
    for file in (file for folder in ("plugins", "examples") for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "host.sdk":
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sdk":
                names.add(node.attr)
    return frozenset(names)


def test_sdk_names_when_read_then_each_is_used_and_explained_with_an_example() -> None:
    names = [name for listed in groups().values() for name in listed]
    assert sorted(set(names)) == sorted(names), "a name is in two groups of host/sdk.py"
    unused = set(names) - used()
    assert unused == UNUSED_YET, (
        f"used by no plugin and no example: {sorted(unused - UNUSED_YET)}; used by now: {sorted(UNUSED_YET - unused)}"
    )
    silent = [name for name in names if not entry(name).text]
    assert silent == [], f"give these names a docstring: {silent}"


def test_sdk_examples_when_parsed_then_are_python_and_show_the_name() -> None:
    without = []
    for name in (name for listed in groups().values() for name in listed):
        example = entry(name).example
        ast.parse(example)
        if not re.search(rf"\b{name}\b", example):
            without.append(name)
    assert without == [], f'give the docstrings of these names an "Example:" that uses them: {without}'


def test_projects_when_read_then_each_function_uses_records_or_the_models_methods() -> None:
    """The rule of host.sdk, in the plugin to copy from."""
    trees = [ast.parse(file.read_text("utf-8")) for file in (ROOT / "plugins" / "projects").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    models = {
        node.name for node in nodes if isinstance(node, ast.ClassDef) and "TenantModel" in map(ast.unparse, node.bases)
    }
    records = {
        ast.unparse(node.targets[0])
        for node in nodes
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Records(")
    }
    assert (len(models), len(records)) >= (3, 3)
    mixed = []
    for function in (node for node in nodes if isinstance(node, ast.AsyncFunctionDef)):
        called = {ast.unparse(node.value) for node in ast.walk(function) if isinstance(node, ast.Attribute)}
        if called & models and called & records:
            mixed.append(function.name)
    assert mixed == [], f"these functions use both Records and a model's own methods: {mixed}"


def test_reference_pages_when_compared_then_equal_the_docstrings() -> None:
    for file, text in ((SDK, sdk_page()), (HOOKS, hooks_page())):
        assert file.read_text("utf-8") == text, f"docs/{file.name} is out of date; `make map` writes it"


def write() -> None:
    """Write both pages."""
    SDK.parent.mkdir(exist_ok=True)
    SDK.write_text(sdk_page(), "utf-8")
    HOOKS.write_text(hooks_page(), "utf-8")


if __name__ == "__main__":
    write()
