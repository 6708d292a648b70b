"""Check which Jinja syntax a template uses, find its variables, and count the work of its loops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from .errors import TemplateRefused
from .filters import FILTERS, FUNCTIONS, TESTS
from .sandbox import METHODS

DEPTH = 60
"""How deeply expressions and blocks may be nested; below what Python's own parser and compiler take."""

NODES = 20_000
"""Nodes of a template's syntax tree, at most."""

_STRUCTURE = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock)
_BLOCKS = (nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.With)
_VALUES = (nodes.Name, nodes.NSRef, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword)
_ACCESS = (nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Filter, nodes.Test, nodes.Call)
_LOGIC = (nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos)
_SUMS = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Concat)
_ALLOWED = frozenset({*_STRUCTURE, *_BLOCKS, *_VALUES, *_ACCESS, *_LOGIC, *_SUMS})
_NAMES = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.Pow: "**",
    nodes.Scope: "autoescape",
    nodes.ScopedEvalContextModifier: "autoescape",
}
_RESERVED = frozenset({"self", "super", "varargs", "kwargs"})
_LOOP_METHODS = frozenset({"cycle", "changed"})
_OPTIONAL_TESTS = frozenset({"defined", "undefined"})


@dataclass(frozen=True, slots=True)
class Needs:
    """The variables of a template.

    required: names it always uses. optional: names it uses only if they are defined. paths: the last part of each value
    it reads inside a variable -> the whole path, such as "total" -> "order.total".
    """

    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    paths: dict[str, str] = field(default_factory=dict)

    def path_of(self, gap: str) -> str:
        """The whole path of a missing variable, as far as the template shows it."""
        name = gap.removeprefix(".")
        return self.paths.get(name, name) if gap.startswith(".") else name

    def __or__(self, other: Needs) -> Needs:
        optional = (self.optional | other.optional) - (self.required | other.required)
        return Needs(self.required | other.required, optional, {**other.paths, **self.paths})


def walk(template: nodes.Node) -> Iterator[tuple[nodes.Node, int]]:
    """Each node with its depth, without recursion: a template may be nested deeper than Python's stack."""
    waiting = [(template, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting.extend((child, depth + 1) for child in node.iter_child_nodes())


def check(template: nodes.Template) -> None:
    """Refuse syntax that a template may not use.

    Raises:
        TemplateRefused: line and reason.
    """
    macros = {node.name for node, _ in walk(template) if isinstance(node, nodes.Macro)}
    for count, (node, depth) in enumerate(walk(template)):
        line = getattr(node, "lineno", None)
        if depth > DEPTH:
            raise TemplateRefused("this is nested too deeply", line=line)
        if count > NODES:
            raise TemplateRefused("there are too many expressions in this template", line=line)
        if reason := _objection(node, macros):
            raise TemplateRefused(reason, line=line)


def _objection(node: nodes.Node, macros: set[str]) -> str:
    if type(node) not in _ALLOWED:
        return f"{_NAMES.get(type(node), type(node).__name__.lower())} cannot be used in a template"
    if isinstance(node, nodes.Name | nodes.Macro) and (node.name.startswith("_") or node.name in _RESERVED):
        return f"the name {node.name} is not for templates"
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        return f"{node.attr} cannot be read in a template"
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and str(node.arg.value).startswith("__"):
        return f"{node.arg.value} cannot be read in a template"
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        return f"there is no filter {node.name}; there are {', '.join(sorted(FILTERS))}"
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        return f"there is no test {node.name}; there are {', '.join(sorted(TESTS))}"
    if isinstance(node, nodes.For) and node.recursive:
        return "recursive loops cannot be used in a template"
    if isinstance(node, nodes.Compare) and len(node.ops) > 1 and any(each.op in {"in", "notin"} for each in node.ops):
        return "write one `in` at a time"
    return _objection_to_call(node, macros) if isinstance(node, nodes.Call) else ""


def _objection_to_call(node: nodes.Call, macros: set[str]) -> str:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return "calls take no * or ** arguments"
    called = node.node
    if isinstance(called, nodes.Name) and called.name in {*macros, *FUNCTIONS, "caller"}:
        return ""
    if isinstance(called, nodes.Getattr) and called.attr in METHODS:
        return ""
    if isinstance(called, nodes.Getattr) and called.attr in _LOOP_METHODS and _is_loop(called.node):
        return ""
    name = called.attr if isinstance(called, nodes.Getattr) else getattr(called, "name", "this")
    return f"{name} cannot be called; use a filter, such as {{{{ name|upper }}}}"


def _is_loop(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "loop"


# -- variables -------------------------------------------------------------------------------------------


def needs(template: nodes.Template) -> Needs:
    """The names a checked template has to be given."""
    from jinja2.meta import find_undeclared_variables

    names = find_undeclared_variables(template) - FUNCTIONS.keys()
    optional = {
        node.node.name
        for node, _ in walk(template)
        if (isinstance(node, nodes.Test) and node.name in _OPTIONAL_TESTS)
        or (isinstance(node, nodes.Filter) and node.name in {"default", "d"})
        if isinstance(node.node, nodes.Name)
    }
    paths = {path.rpartition(".")[2]: path for node, _ in walk(template) if (path := _path(node)) and "." in path}
    return Needs(frozenset(names - optional), frozenset(names & optional), paths)


def _path(node: nodes.Node) -> str:
    """The path that a node reads, such as `order.total`; "" for any other node."""
    if isinstance(node, nodes.Name):
        return str(node.name)
    if isinstance(node, nodes.Getattr):
        part: object = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        part = node.arg.value
    else:
        return ""
    inner = _path(node.node)
    return f"{inner}.{part}" if inner else ""


# -- cost ------------------------------------------------------------------------------------------------


def instrumented(template: nodes.Template) -> nodes.Template:
    """The same template with calls inserted that count the work of its loops, macros and concatenations."""
    changed = _Instruments().visit(template)
    changed.set_environment(template.environment)
    return changed  # type: ignore[no-any-return]  # Jinja's visitors are untyped


class _Instruments(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - found by this name
        cost = _cost(node.body, node.lineno)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_counted")
        node.body.insert(0, cost)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:  # noqa: N802 - found by this name
        cost = _cost(node.body, node.lineno)
        self.generic_visit(node)
        node.body.insert(0, cost)
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.CallBlock:  # noqa: N802 - found by this name
        cost = _cost(node.body, node.lineno)
        self.generic_visit(node)
        node.body.insert(0, cost)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802 - found by this name
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "join")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:  # noqa: N802 - found by this name
        self.generic_visit(node)
        [first, *others] = node.ops
        if others or first.op not in {"in", "notin"}:
            return node
        test = nodes.Test(node.expr, "in", [first.expr], [], None, None, lineno=node.lineno)
        return test if first.op == "in" else nodes.Not(test, lineno=node.lineno)

    def visit_List(self, node: nodes.List) -> nodes.List:  # noqa: N802 - found by this name
        self.generic_visit(node)
        node.items = [_plain(each) for each in node.items]
        return node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Tuple:  # noqa: N802 - found by this name
        self.generic_visit(node)
        if node.ctx == "load":
            node.items = [_plain(each) for each in node.items]
        return node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Dict:  # noqa: N802 - found by this name
        self.generic_visit(node)
        for pair in node.items:
            pair.value = _plain(pair.value)
        return node


def _plain(node: nodes.Expr) -> nodes.Expr:
    """An element of a list made in the template: no list in a list, which could double at each step."""
    return node if isinstance(node, nodes.Const) else _filtered(node, "_scalar")


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _cost(body: list[nodes.Node], line: int) -> nodes.Node:
    """A statement that spends what one run of `body` evaluates and writes, whichever branches it takes."""
    inside = [node for each in body for node, _ in walk(each)]
    written = sum(len(node.data) for node in inside if isinstance(node, nodes.TemplateData))
    spend: Any = nodes.Call(
        nodes.Name("_work", "load", lineno=line),
        [nodes.Const(len(inside), lineno=line), nodes.Const(written, lineno=line)],
        [],
        None,
        None,
        lineno=line,
    )
    return nodes.ExprStmt(spend, lineno=line)
