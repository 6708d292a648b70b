from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from host.hookspecs import HookSpecs, hookspec
from host.registry import kinds, loading
from host.registry.checks import Scope
from host.registry.kinds import KINDS, Kind, Unique


@dataclass(frozen=True, slots=True)
class Widget:
    """A kind that only these tests know: its dataclass, …"""

    name: str
    permission: str = ""


class Specs:
    @hookspec
    def register_widgets(self) -> Sequence[Widget]:
        """… its hook, …"""
        raise NotImplementedError


def widgets(items: Sequence[Widget], scope: Scope) -> Iterator[str]:
    for widget in items:
        if scope.is_missing("permission", widget.permission):
            yield f'widget "{widget.name}": no one registers the permission "{widget.permission}"'


# … and its line in the table.
WIDGETS: Kind[Widget] = Kind(
    "register_widgets", Widget, (Unique("widget", lambda plugin, item: item.name, "rename one"),), widgets
)

SOURCE = """
from tests.registry.test_kinds import Widget
@hookimpl
def register_widgets(): return {answer}
@hookimpl
def register_permissions(): return [Permission("{plugin}.things.read", "x")]
"""


@pytest.fixture
def deployment(tree, monkeypatch):
    """Adds plugins that declare widgets, in a host that knows them."""
    monkeypatch.setattr(HookSpecs, "register_widgets", Specs.register_widgets, raising=False)
    monkeypatch.setattr(loading, "HOOKS", loading.HOOKS | {"register_widgets"})  # read off the specifications
    monkeypatch.setattr(kinds, "KINDS", (*KINDS, WIDGETS))  # read off the lines of the table

    def add(plugin: str, answer: str) -> None:
        tree.add(plugin, SOURCE.format(plugin=plugin, answer=answer))

    tree.declare = add
    return tree


def test_new_kind_when_plugins_declare_it_then_collected_with_owners_by_name(deployment):
    deployment.declare("aa", "[Widget('clock', 'aa.things.read')]")
    deployment.declare("bb", "[Widget('map', 'aa.things.read')]")
    catalog = deployment.load(strict=True).catalog
    clock, chart = Widget("clock", "aa.things.read"), Widget("map", "aa.things.read")
    assert catalog.all(WIDGETS) == (("aa", clock), ("bb", chart))
    assert (catalog.named(WIDGETS), catalog.owners(WIDGETS)["map"]) == ({"clock": clock, "map": chart}, "bb")
    assert catalog.of("bb", WIDGETS) == (chart,)


def test_new_kind_when_hook_returns_something_else_then_quarantined_with_the_type(deployment):
    deployment.declare("aa", "[3]")
    assert "register_widgets must return a list of Widget; it holds 3" in deployment.load().quarantine.reason("aa")


def test_new_kind_when_item_is_wrong_then_refused_naming_the_plugin(deployment):
    deployment.declare("aa", "[Widget('clock', 'aa.things.raed')]")
    assert deployment.refusal() == 'plugin "aa": widget "clock": no one registers the permission "aa.things.raed"'


def test_new_kind_when_declared_twice_then_refused_naming_both_plugins(deployment):
    deployment.declare("aa", "[Widget('clock', 'aa.things.read')]")
    deployment.declare("bb", "[Widget('clock', 'aa.things.read')]")
    assert deployment.refusal() == 'plugins "aa" and "bb" both declare the widget "clock"; rename one'


def test_table_when_compared_with_the_hooks_then_one_line_for_each():
    assert {kind.hook for kind in KINDS} == {hook for hook in loading.HOOKS if hook.startswith("register_")}
    assert len(KINDS) == len({kind.hook for kind in KINDS})
