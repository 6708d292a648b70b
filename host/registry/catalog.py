"""The catalogue of everything that the host and its plugins declare: routes, models, tasks, limits and more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar, cast

from host.registry import kinds
from host.registry.declarations import Declarations
from host.registry.kinds import Kind

T = TypeVar("T")


class Catalog:
    """What is declared, by kind, in load order; the host's own things come first and belong to "host"."""

    def __init__(self, declared: Sequence[Declarations]) -> None:
        """Take checked declarations, in load order."""
        self._declared = tuple(declared)
        self._named: dict[str, Mapping[str, object]] = {}
        self._owners: dict[str, Mapping[str, str]] = {}
        for kind in kinds.KINDS:
            if kind.unique:
                named = {kind.unique[0].name(owner, item): (owner, item) for owner, item in self.all(kind)}
                self._named[kind.hook] = MappingProxyType({name: item for name, (_, item) in named.items()})
                self._owners[kind.hook] = MappingProxyType({name: owner for name, (owner, _) in named.items()})

    def all(self, kind: Kind[T]) -> tuple[tuple[str, T], ...]:
        """Everything of one kind, each with its owner's plugin id."""
        return tuple((one.plugin, item) for one in self._declared for item in one.of(kind))

    def of(self, plugin: str, kind: Kind[T]) -> tuple[T, ...]:
        """What one plugin declares of one kind."""
        return tuple(item for owner, item in self.all(kind) if owner == plugin)

    def named(self, kind: Kind[T]) -> Mapping[str, T]:
        """Everything of one kind by its full name, the first of those that may not appear twice."""
        return cast(Mapping[str, T], self._named[kind.hook])

    def owners(self, kind: Kind[T]) -> Mapping[str, str]:
        """The owner's plugin id for each full name of one kind."""
        return self._owners[kind.hook]

    @property
    def role_permissions(self) -> Mapping[str, frozenset[str]]:
        """What is given to each built-in role, by the role's name."""
        declared = self.named(kinds.PERMISSIONS).values()
        roles = {role for permission in declared for role in permission.roles}
        return {
            role: frozenset(permission.name for permission in declared if role in permission.roles) for role in roles
        }
