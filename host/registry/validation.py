"""Check declarations: names, routes, models, tasks, metrics and listeners that are wrong or unknown."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence

from tortoise.models import Model

from host.contracts import Limit, Metric, Route
from host.registry.declarations import Declarations
from host.registry.loading import is_async
from host.registry.manifest import HOST, HOST_AREAS, Manifest
from host.registry.messages import nearest
from tenants.limits import LimitError, parse_limit
from tenants.scoping import TenantModel

_CONVERTERS = ("uuid", "int", "string", "str")
_PARAMETER = re.compile(r"<(?:([a-z]+):)?([a-z_][a-z0-9_]*)>")
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_PERMISSION = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_LIMIT = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_TAKEN_LABELS = frozenset({"le", "quantile", "job", "instance"})
_ROUTE_NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")


def validate(declared: Sequence[Declarations], manifests: Mapping[str, Manifest]) -> list[str]:
    """One complaint for each declaration that does not fit the others, naming plugin, thing and remedy.

    What a failed hook would have declared is unknown, so nothing is reported as missing because of it.
    """
    known = _Known(declared, manifests)
    messages: list[str] = []
    for declarations in declared:
        for finder in (_names, _routes, _models, _tasks_and_checks, _metrics, _events_and_listeners):
            messages += [f'plugin "{declarations.plugin}": {line}' for line in finder(declarations, known)]
    return messages


class _Known:
    """Every name that may be referred to, and the plugins of which not all names are known."""

    def __init__(self, declared: Sequence[Declarations], manifests: Mapping[str, Manifest]) -> None:
        self.permissions = {item.name for one in declared for item in one.permissions}
        self.limits = {item.name for one in declared for item in one.limits}
        self.events = {f"{one.plugin}.{item.model.__name__}" for one in declared for item in one.events}
        self.complete = {one.plugin for one in declared if one.complete}
        self.loaded = {HOST, *manifests}

    def is_missing(self, name: str, names: set[str]) -> bool:
        """Whether no one declares `name`, and the plugin it begins with could have told us of it."""
        area = name.split(".", 1)[0]
        owner = HOST if area in HOST_AREAS else area
        return name not in names and (owner in self.complete or owner not in self.loaded)


def _names(declarations: Declarations, known: _Known) -> Iterator[str]:
    areas = HOST_AREAS if declarations.plugin == HOST else {declarations.plugin}
    for permission in declarations.permissions:
        if not _PERMISSION.fullmatch(permission.name):
            yield f'permission "{permission.name}" must be named <plugin>.<resource>.<action>; rename it'
        elif permission.name.split(".")[0] not in areas:
            yield f'permission "{permission.name}" does not begin with its own id; rename it "{declarations.plugin}.…"'
    for limit in declarations.limits:
        if not _LIMIT.fullmatch(limit.name):
            yield f'limit "{limit.name}" must be named <plugin>.<what>; rename it'
        elif limit.name.split(".")[0] not in areas:
            yield f'limit "{limit.name}" does not begin with its own id; rename it "{declarations.plugin}.…"'
        if limit.count is not None and not (limit.kind == "quota" and is_async(limit.count)):
            yield f'limit "{limit.name}": only a quota has `count`, and it must be `async def`'
        if wrong := limit_complaint(limit, limit.default):
            yield f'limit "{limit.name}": default: {wrong}'


def limit_complaint(limit: Limit, text: str) -> str | None:
    """What is wrong with a value given to a limit, by default, in a plan or for a tenant; None when it fits."""
    if limit.kind not in ("rate", "quota", "value"):
        return f'its kind must be "rate", "quota" or "value", not {limit.kind!r}'
    try:
        value = parse_limit(text)
    except LimitError as error:
        return str(error)
    if limit.kind == "rate" and not value.unlimited and value.seconds is None:
        return f'"{text}" is no rate, it needs a fixed length of time; write it like "5/minute"'
    if limit.count is not None and value.period is not None:
        return f'"{text}" has a length of time and "{limit.name}" counts what there is; write the number alone'
    if limit.kind == "value" and value.period is not None:
        return f'"{text}" has a length of time and "{limit.name}" is a plain value; write the number alone'
    return None


def _routes(declarations: Declarations, known: _Known) -> Iterator[str]:
    for route in declarations.routes:
        where = f"route {route.method} {route.path} ({route.name})"
        yield from (f"{where}: {line}" for line in _route(route, known))


def _route(route: Route, known: _Known) -> Iterator[str]:
    who = [route.permission is not None, route.signed_in, route.operator, route.public]
    if not any(who):
        yield "does not say who may call it; give it a permission, signed_in, operator or public"
    elif sum(who) > 1:
        yield "exactly one of permission, signed_in, operator and public may be given"
    if route.any_tenant_state and not (route.public and not route.needs_tenant):
        yield "any_tenant_state is for people outside: it goes with public=True and needs_tenant=False only"
    if route.permission is not None and known.is_missing(route.permission, known.permissions):
        yield f'no one registers the permission "{route.permission}"{nearest(route.permission, known.permissions)}'
    for limit in route.limits:
        if known.is_missing(limit, known.limits):
            yield f'no one registers the limit "{limit}"{nearest(limit, known.limits)}'
    if not _ROUTE_NAME.fullmatch(route.name):
        yield 'the name must be like "projects.create"; rename it'
    if not is_async(route.handler):
        yield "the handler must be `async def`"
    yield from _path(route.path)


def _path(path: str) -> Iterator[str]:
    if not path.startswith("/") or (len(path) > 1 and path.endswith("/")) or "//" in path:
        yield 'the path must begin with "/" and not end with one, like "/projects"'
    names = []
    for converter, name in _PARAMETER.findall(path):
        names.append(name)
        if converter and converter not in _CONVERTERS:
            yield f'"{converter}" is not a type of path parameter{nearest(converter, _CONVERTERS)}'
    if len(names) != len(set(names)):
        yield "a path parameter appears twice; rename one"
    if set(_PARAMETER.sub("", path)) & set("<>?# "):
        yield 'the path cannot be read; parameters are written "<uuid:project_id>"'


def _models(declarations: Declarations, known: _Known) -> Iterator[str]:
    owner = declarations.plugin
    for model in declarations.models:
        table = model._meta.db_table
        if model._meta.abstract:
            yield f"model {model.__name__} is abstract; register the models that have tables"
        elif owner != HOST and not table.startswith(f"{owner}_"):
            yield f'model {model.__name__}: its table "{table}" must begin with "{owner}_"; set Meta.table'
        if owner != HOST and "tenant_id" in model._meta.fields_map and not issubclass(model, TenantModel):
            yield f"model {model.__name__} has a tenant_id and no row-level security; derive it from TenantModel"
    for forgotten in _unregistered(declarations):
        yield f"model {forgotten.__name__} in {forgotten.__module__} is not registered; return it from register_models"


def _unregistered(declarations: Declarations) -> list[type[Model]]:
    """Models that stand beside registered ones: the ORM finds them by module, row-level security would not."""
    modules = dict.fromkeys(model.__module__ for model in declarations.models)
    return [
        model
        for name in modules
        for model in vars(sys.modules[name]).values()
        if inspect.isclass(model)
        and issubclass(model, Model)
        and model.__module__ == name
        and not model._meta.abstract
        and model not in declarations.models
    ]


def _tasks_and_checks(declarations: Declarations, known: _Known) -> Iterator[str]:
    for task in declarations.tasks:
        if not _WORD.fullmatch(task.name):
            yield f'task "{task.name}": the name must be one lower-case word with underscores; rename it'
        called = {"run": task.run, "channel": task.channel, "on_retry": task.on_retry, "on_cancel": task.on_cancel}
        for name, function in called.items():
            if function is not None and not is_async(function):
                yield f'task "{task.name}": {name} must be `async def`'
        if task.timeout <= 0 or task.tries < 1 or task.backoff < 0 or (task.every and task.every.total_seconds() <= 0):
            yield f'task "{task.name}": timeout and every must be above 0, tries at least 1, backoff not below 0'
    for item in declarations.health_checks:
        if not is_async(item.check):
            yield f'health check "{item.name}": its function must be `async def`'


def _metrics(declarations: Declarations, known: _Known) -> Iterator[str]:
    prefix = "tenantry_" if declarations.plugin == HOST else f"tenantry_{declarations.plugin}_"
    for metric in declarations.metrics:
        yield from (f'metric "{metric.name}": {line}' for line in _metric(metric, prefix))


def _metric(metric: Metric, prefix: str) -> Iterator[str]:
    """Prometheus' rules for names and labels, and what each kind needs."""
    if not all(_WORD.fullmatch(word) for word in (metric.name, *metric.labels)):
        yield "name and labels must be lower-case words with underscores; rename it"
    if not metric.name.startswith(prefix):
        yield f'the name must begin with "{prefix}"; rename it'
    if metric.kind not in ("counter", "gauge", "histogram"):
        yield f'its kind must be "counter", "gauge" or "histogram", not {metric.kind!r}'
    elif (metric.kind == "counter") != metric.name.endswith("_total"):
        yield "a counter's name, and no other, ends in _total; rename it"
    if metric.name.endswith(("_count", "_sum", "_bucket", "_created", "_info")):
        yield "its ending has a meaning of its own for Prometheus; rename it"
    if clash := set(metric.labels) & _TAKEN_LABELS:
        yield f"the label {sorted(clash)[0]} is Prometheus' own; rename it"
    if len(set(metric.labels)) != len(metric.labels):
        yield "a label appears twice; remove one"
    if (metric.kind == "gauge") != (metric.read is not None):
        yield "a gauge, and nothing else, has a function `read`"
    elif metric.read is not None and not is_async(metric.read):
        yield "its function must be `async def`"
    if metric.kind == "histogram" and (not metric.buckets or list(metric.buckets) != sorted(set(metric.buckets))):
        yield "its buckets must be given, and rise"


def _events_and_listeners(declarations: Declarations, known: _Known) -> Iterator[str]:
    for subscription in declarations.listeners:
        event = subscription.event
        owner = event.split(".", 1)[0]
        if "." not in event:
            yield f'listener: "{event}" must be "<plugin>.<ClassName>"{nearest(event, known.events)}'
        elif owner in known.loaded and known.is_missing(event, known.events):
            yield f'listener: no one announces the event "{event}"{nearest(event, known.events)}'
        if not is_async(subscription.listener):
            yield f'listener of "{event}": must be `async def`'
