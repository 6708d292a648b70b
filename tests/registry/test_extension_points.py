from __future__ import annotations

import pytest

from host.contracts import ExtensionPoint
from host.registry.extension_points import fields, summary

OFFER = """
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
@dataclass(frozen=True)
class Card:
    '''A card.'''
    title: str
    read: Callable[[], Awaitable[str]]
    order: int = 0
    actions: tuple[Callable[[], Awaitable[str]], ...] = ()
    tags: list[str] = field(default_factory=list)
@hookimpl
def register_extension_points(): return [ExtensionPoint("{name}", {model})]
"""
CONTRIBUTE = """
async def read(): return "x"
def plain(): return "x"
@hookimpl
def register_contributions(): return [Contribution({arguments})]
"""
GOOD = '"board.cards", {"title": "Clock", "read": read}'


def offer(tree, name: str = "board.cards", model: str = "Card") -> None:
    tree.add("board", OFFER.format(name=name, model=model))


def contribute(tree, arguments: str = GOOD, plugin: str = "clock") -> None:
    tree.add(plugin, CONTRIBUTE.format(arguments=arguments))


def cards(tree, active: set[str]) -> list[tuple[str, str]]:
    registry = tree.load(strict=True)
    point = registry.extension_points.points["board.cards"]
    return [(each.plugin, each.content.title) for each in registry.extension_points.contributed(point, active)]


def test_contributions_when_both_plugins_are_active_then_read_as_the_model_in_load_order(tree):
    contribute(tree)
    offer(tree)
    contribute(tree, '"board.cards", {"title": "Map", "read": read, "order": 3}', "maps")
    assert cards(tree, {"board", "clock", "maps"}) == [("clock", "Clock"), ("maps", "Map")]


@pytest.mark.parametrize("active", [{"board"}, {"clock"}, set()])
def test_contributions_when_either_plugin_is_off_then_hidden(tree, active):
    offer(tree)
    contribute(tree)
    assert cards(tree, active) == []


def test_contribution_when_nobody_offers_the_point_then_ignored(tree):
    contribute(tree)
    registry = tree.load(strict=True)
    assert registry.extension_points.points == {}
    with pytest.raises(LookupError, match=r"'board\.cards': return it from register_extension_points"):
        registry.extension_points.contributed(ExtensionPoint("board.cards", object), {"clock"})


def test_contribution_when_the_offering_plugin_could_not_be_imported_then_ignored(tree):
    tree.add("board", "raise ValueError")
    contribute(tree)
    assert [held.plugin for held in tree.load().quarantine] == ["board"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('"board.cards", {"read": read}', "title must be given"),
        ('"board.cards", {"title": 3, "read": read}', "title must be text"),
        (
            '"board.cards", {"title": "x", "read": read, "ordre": 1}',
            "there is no field 'ordre'; did you mean \"order\"",
        ),
        ('"board.cards", {"title": "x", "read": plain}', "plain must be `async def`"),
        ('"board.cards", {"title": "x", "read": read, "actions": [plain]}', "plain must be `async def`"),
        ('"board.cards", {"title": "x", "read": "text"}', "read must be callable"),
        ('"board.cards", 3', "its content must be a mapping with the model's fields, not 3"),
    ],
)
def test_contribution_when_it_does_not_fit_then_refused_naming_both_plugins(tree, arguments, said):
    offer(tree)
    contribute(tree, arguments)
    assert f'plugin "clock": contribution to "board.cards" of plugin "board": {said}' in tree.refusal()


def test_contribution_when_the_point_is_misspelt_then_refused_with_the_nearest(tree):
    offer(tree)
    contribute(tree, '"board.card", {}')
    said = 'plugin "clock": contribution: plugin "board" offers no extension point "board.card"; did you mean'
    assert said in tree.refusal()


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("cards", "Card", ' must be named "board.<what>"; rename it'),
        ("clock.cards", "Card", ' must be named "board.<what>"'),
        ("board.cards", "dict", ": its model must be a pydantic model or a frozen dataclass, not <class 'dict'>"),
        (
            "board.cards",
            "dataclass(type('Loose', (), {}))",
            ": its model must be a pydantic model or a frozen dataclass",
        ),
        (
            "board.cards",
            "dataclass(frozen=True)(type('Odd', (), {'__annotations__': {'x': Model}}))",
            ": its model cannot be checked: PydanticSchemaGenerationError",
        ),
        ("board.cards", "Card, 0", ": timeout must be above 0"),
    ],
)
def test_point_when_it_is_wrong_then_refused(tree, name, model, said):
    offer(tree, name, model)
    contribute(tree)
    assert f'plugin "board": extension point "{name}"{said}' in tree.refusal()


def test_point_when_two_plugins_offer_it_then_refused_naming_both(tree):
    offer(tree)
    tree.add("board_x", OFFER.format(name="board.cards", model="Card"))
    assert 'plugins "board" and "board_x" both declare the extension point "board.cards"' in tree.refusal()


def test_point_when_described_then_fields_types_and_defaults_are_told(tree):
    offer(tree)
    point = tree.load(strict=True).extension_points.points["board.cards"]
    assert summary(point) == "A card."
    assert [(field.name, field.type, field.default) for field in fields(point)] == [
        ("title", "str", ""),
        ("read", "Callable[[], Awaitable[str]]", ""),
        ("order", "int", "0"),
        ("actions", "tuple[Callable[[], Awaitable[str]], ...]", "()"),
        ("tags", "list[str]", "list()"),
    ]
