"""Report everything that is declared twice: routes, tables, permissions, tasks and the like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from host.contracts import Route
from host.registry.declarations import Declarations

_PARAMETER = re.compile(r"<(?:([a-z]+)(?:\([^)]*\))?:)?[^<>]*>")


def duplicates(declared: Sequence[Declarations]) -> list[str]:
    """One complaint for each thing that is declared twice, by two plugins or by one."""
    return [complaint for what, names, remedy in _UNIQUE for complaint in _twice(declared, what, names, remedy)]


def route_shape(route: Route) -> str:
    """A route as the URL map tells it from others: method, path and the types of its parameters, not their names."""

    def kind(match: re.Match[str]) -> str:
        return "<string>" if match[1] in (None, "str", "default") else f"<{match[1]}>"

    return f"{route.method} {_PARAMETER.sub(kind, route.path)}"


def _twice(
    declared: Sequence[Declarations], what: str, names: Callable[[Declarations], Iterable[str]], remedy: str
) -> Iterator[str]:
    owners: dict[str, str] = {}
    for declarations in declared:
        for name in names(declarations):
            first = owners.get(name)
            if first is None:
                owners[name] = declarations.plugin
            elif first == declarations.plugin:
                yield f'plugin "{first}" declares the {what} "{name}" twice; {remedy}'
            else:
                yield f'plugins "{first}" and "{declarations.plugin}" both declare the {what} "{name}"; {remedy}'


def _models(one: Declarations) -> Iterator[str]:
    return (f"{one.plugin}.{model.__name__}" for model in one.models)


def _settings_models(one: Declarations) -> Iterator[str]:
    return (f"{model.__module__}.{model.__qualname__}" for model in (one.settings, one.tenant_settings) if model)


_UNIQUE: Sequence[tuple[str, Callable[[Declarations], Iterable[str]], str]] = (
    ("route", lambda one: (route_shape(item) for item in one.routes), "change path or method of one"),
    ("route name", lambda one: (f"{one.plugin}.{item.name}" for item in one.routes), "rename one of them"),
    ("table", lambda one: (model._meta.db_table for model in one.models), "change Meta.table of one model"),
    ("model", _models, "rename one class"),
    ("settings model", _settings_models, "give each its own class"),
    ("permission", lambda one: (item.name for item in one.permissions), "rename one of them"),
    ("limit", lambda one: (item.name for item in one.limits), "rename one of them"),
    ("task", lambda one: (f"{one.plugin}.{item.name}" for item in one.tasks), "rename one of them"),
    ("event", lambda one: (f"{one.plugin}.{item.model.__name__}" for item in one.events), "rename one class"),
    ("command", lambda one: (f"{one.plugin} {item.name}" for item in one.commands), "rename one of them"),
    ("health check", lambda one: (f"{one.plugin}.{item.name}" for item in one.health_checks), "rename one of them"),
    ("personal data", lambda one: (f"{one.plugin}.{item.name}" for item in one.personal_data), "rename one of them"),
    ("metric", lambda one: (item.name for item in one.metrics), "rename one of them"),
)
