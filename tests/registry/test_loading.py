from __future__ import annotations

import functools

import pytest

from host.registry.discovery import find, read
from host.registry.kinds import PERMISSIONS
from host.registry.loading import HOOKS, import_plugin, is_async
from host.registry.quarantine import Quarantine


def test_hooks_when_listed_then_each_kind_is_there():
    assert {"register_routes", "authorize", "on_start"} <= HOOKS


def test_load_when_ids_are_named_then_only_those_are_imported(tree):
    tree.add("notes")
    tree.add("other", wanted=False)
    registry = tree.load()
    assert registry.ids == ("notes",)
    assert tree.imported("notes.plugin")
    assert not tree.imported("other")


def test_load_when_configuration_is_broken_then_nothing_is_imported(tree):
    tree.add("notes")
    tree.add("other", requires={"missing": "*"})
    tree.refusal()
    assert not tree.imported("notes")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module_at_all", "it raised ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise ValueError('first\\nsecond')", "it raised ValueError: first"),
        ("sys.exit(4)", "it called sys.exit(4)"),
        ("def broken(:", "it raised SyntaxError: invalid syntax"),
    ],
)
def test_load_when_import_fails_then_quarantined_and_the_others_run(tree, source, said):
    tree.add("bad", source)
    tree.add("good", "@hookimpl\ndef register_permissions(): return [Permission('good.things.read', 'x')]")
    registry = tree.load()
    assert said in registry.quarantine.reason("bad")
    assert f"importing {tree.package}.bad.plugin" in registry.quarantine.reason("bad")
    assert registry.plugin("bad").module is None
    assert list(registry.catalog.named(PERMISSIONS)) == ["good.things.read"]


@pytest.mark.parametrize("source", ["raise ValueError('no')", "sys.exit(4)"])
def test_load_when_import_fails_and_strict_then_refused_naming_the_plugin(tree, source):
    tree.add("bad", source)
    text = tree.refusal(strict=True)
    assert 'plugin "bad": importing' in text
    assert "remove it from plugins.toml" in text


def test_import_when_it_hangs_then_quarantined(tree):
    tree.add("bad", "import time\ntime.sleep(0.5)")
    quarantine = Quarantine()
    (found,) = find(read(tree.plugins_toml), tree.plugins_toml, tree.package)
    assert import_plugin(found, quarantine, seconds=0.05) is None
    assert "did not return within 0.05 seconds" in quarantine.reason("bad")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "@hookimpl\ndef register_route(): return []",
            'register_route: there is no such hook; did you mean "register_routes"?',
        ),
        ("@hookimpl\nasync def on_started(): ...", 'on_started: there is no such hook; did you mean "on_start"?'),
        ("@hookimpl\ndef on_start(): ...", "on_start: must be `async def`"),
        ("@hookimpl\nasync def register_routes(): return []", "register_routes: must be a plain `def`"),
        ("@hookimpl\nasync def on_activated(tenantt): ...", "tenantt"),
        ("@hookimpl(wrapper=True)\ndef register_routes(): return (yield)", "a wrapper has nothing to wrap"),
        ("@hookimpl(tryfirst=True)\ndef register_routes(): return []", "remove tryfirst and trylast"),
    ],
)
def test_load_when_hook_is_not_as_specified_then_refused_even_when_not_strict(tree, source, said):
    tree.add("notes", source)
    text = tree.refusal()
    assert said in text
    assert 'plugin "notes"' in text


def test_load_when_unknown_hook_is_optional_then_taken(tree):
    tree.add("notes", "@hookimpl(optionalhook=True)\ndef register_something_newer(): ...")
    assert tree.load().ids == ("notes",)


def test_load_when_module_is_loaded_twice_by_two_registries_then_both_work(tree):
    tree.add("notes", "@hookimpl\ndef register_permissions(): return [Permission('notes.notes.read', 'x')]")
    assert tree.load().catalog.named(PERMISSIONS) == tree.load().catalog.named(PERMISSIONS)


def test_load_when_not_importable_plugin_has_authorize_in_its_source_then_noted(tree):
    tree.add("bad", "raise ValueError\n@hookimpl\nasync def authorize(actor): ...")
    tree.add("worse", "raise ValueError\n")
    registry = tree.load()
    assert registry.plugin("bad").closed_hooks == {"authorize"}
    assert registry.plugin("worse").closed_hooks == frozenset()


def test_is_async_when_decorated_or_partial_then_seen_through():
    async def work(number: int) -> None: ...

    @functools.wraps(work)
    def decorated(*args: int) -> object:
        return work(*args)

    class Callable:
        async def __call__(self) -> None: ...

    assert is_async(decorated)
    assert is_async(functools.partial(work, 1))
    assert is_async(Callable())
    assert not is_async(print)
    assert not is_async(3)
