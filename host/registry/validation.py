"""Check all declarations together: what is declared twice, does not fit or refers to what nobody declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from host.registry import kinds
from host.registry.checks import Scope
from host.registry.declarations import Declarations
from host.registry.kinds import Kind
from host.registry.manifest import HOST, Manifest


def validate(declared: Sequence[Declarations], manifests: Mapping[str, Manifest]) -> list[str]:
    """One complaint for each thing that is wrong, naming the plugins, the thing and the remedy.

    What a failed hook would have declared is unknown, so nothing is reported as missing because of it.
    """
    names = {
        unique.what: {
            unique.name(declarations.plugin, item): item for declarations in declared for item in declarations.of(kind)
        }
        for kind in kinds.KINDS
        for unique in kind.unique
    }
    complete = {declarations.plugin for declarations in declared if declarations.complete}
    messages = list(_duplicates(declared))
    for declarations in declared:
        scope = Scope(declarations.plugin, names, complete, {HOST, *manifests})
        messages += [
            f'plugin "{declarations.plugin}": {line}'
            for kind in kinds.KINDS
            for line in _checked(kind, declarations, scope)
        ]
    return messages


def _duplicates(declared: Sequence[Declarations]) -> Iterator[str]:
    """One complaint for each thing that is declared twice, by two plugins or by one."""
    owners: dict[tuple[str, str], str] = {}
    named = (
        (declarations.plugin, unique, unique.name(declarations.plugin, item))
        for kind in kinds.KINDS
        for unique in kind.unique
        for declarations in declared
        for item in declarations.of(kind)
    )
    for plugin, unique, name in named:
        first = owners.get((unique.what, name))
        if first is None:
            owners[unique.what, name] = plugin
        elif first == plugin:
            yield f'plugin "{first}" declares the {unique.what} "{name}" twice; {unique.remedy}'
        else:
            yield f'plugins "{first}" and "{plugin}" both declare the {unique.what} "{name}"; {unique.remedy}'


def _checked(kind: Kind[Any], declarations: Declarations, scope: Scope) -> list[str]:
    """The complaints of a kind's check; an item that it cannot read, since a field has a wrong type, is one of them."""
    items = declarations.of(kind)
    try:
        return list(kind.check(items, scope))
    except (AttributeError, TypeError):
        return [line for item in items for line in _unreadable(kind, item, scope)]


def _unreadable(kind: Kind[Any], item: object, scope: Scope) -> list[str]:
    try:
        return list(kind.check([item], scope))
    except (AttributeError, TypeError) as error:
        name = getattr(item, "name", item)
        return [f"{kind.hook}: {name!r} has a field of a wrong type ({error}); docs/sdk.md says the type of each"]
