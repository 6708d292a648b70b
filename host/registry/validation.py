"""Check all declarations together: what is declared twice, does not fit or refers to what nobody declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from host.registry import kinds
from host.registry.checks import Scope
from host.registry.declarations import Declarations
from host.registry.manifest import HOST, Manifest


def validate(declared: Sequence[Declarations], manifests: Mapping[str, Manifest]) -> list[str]:
    """One complaint for each thing that is wrong, naming the plugins, the thing and the remedy.

    What a failed hook would have declared is unknown, so nothing is reported as missing because of it.
    """
    names = {
        unique.what: {unique.name(one.plugin, item): item for one in declared for item in one.of(kind)}
        for kind in kinds.KINDS
        for unique in kind.unique
    }
    complete = {one.plugin for one in declared if one.complete}
    messages = list(_duplicates(declared))
    for one in declared:
        scope = Scope(one.plugin, names, complete, {HOST, *manifests})
        messages += [
            f'plugin "{one.plugin}": {line}' for kind in kinds.KINDS for line in kind.check(one.of(kind), scope)
        ]
    return messages


def _duplicates(declared: Sequence[Declarations]) -> Iterator[str]:
    """One complaint for each thing that is declared twice, by two plugins or by one."""
    owners: dict[tuple[str, str], str] = {}
    named = (
        (one.plugin, unique, unique.name(one.plugin, item))
        for kind in kinds.KINDS
        for unique in kind.unique
        for one in declared
        for item in one.of(kind)
    )
    for plugin, unique, name in named:
        first = owners.get((unique.what, name))
        if first is None:
            owners[unique.what, name] = plugin
        elif first == plugin:
            yield f'plugin "{first}" declares the {unique.what} "{name}" twice; {unique.remedy}'
        else:
            yield f'plugins "{first}" and "{plugin}" both declare the {unique.what} "{name}"; {unique.remedy}'
