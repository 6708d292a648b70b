"""What each kind of declaration must fulfil: a function per kind, yielding a complaint for each item that does not."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tortoise.models import Model

from host.contracts import (
    Channel,
    Events,
    HealthCheck,
    Limit,
    LiveChannel,
    Metric,
    Permission,
    Route,
    Subscription,
    Task,
)
from host.input_errors import nearest
from host.registry.loading import is_async
from host.registry.manifest import HOST, HOST_AREAS
from host.times import cron_problem
from tenants.limits import LimitError, parse_limit
from tenants.scoping import TenantModel

_CONVERTERS = ("uuid", "int", "string", "str")
_PARAMETER = re.compile(r"<(?:([a-z]+):)?([a-z_][a-z0-9_]*)>")
_ANY_PARAMETER = re.compile(r"<(?:([a-z]+)(?:\([^)]*\))?:)?[^<>]*>")
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_PERMISSION = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_LIMIT = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_TAKEN_LABELS = frozenset({"le", "quantile", "job", "instance"})
_ROUTE_NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which plugin declares, and every name that it may refer to.

    names: what is declared, by its kind ("permission", "limit", "event") and its full name. complete: the plugins whose
    hooks all answered.
    """

    plugin: str
    names: Mapping[str, Mapping[str, object]]
    complete: Collection[str]
    loaded: Collection[str]

    @property
    def areas(self) -> Collection[str]:
        """The first words that the plugin's names may begin with."""
        return HOST_AREAS if self.plugin == HOST else (self.plugin,)

    def is_missing(self, what: str, name: str) -> bool:
        """Whether no one declares `name`, and the plugin it begins with could have told us of it."""
        area = name.split(".", 1)[0]
        owner = HOST if area in HOST_AREAS else area
        return name not in self.names[what] and (owner in self.complete or owner not in self.loaded)


def permissions(items: Sequence[Permission], scope: Scope) -> Iterator[str]:
    for permission in items:
        if isinstance(permission.roles, str):
            yield f'permission "{permission.name}": roles must be a tuple of names, such as ("{permission.roles}",)'
        if not _PERMISSION.fullmatch(permission.name):
            yield f'permission "{permission.name}" must be named <plugin>.<resource>.<action>; rename it'
        elif permission.name.split(".")[0] not in scope.areas:
            yield f'permission "{permission.name}" does not begin with its own id; rename it "{scope.plugin}.…"'


def limits(items: Sequence[Limit], scope: Scope) -> Iterator[str]:
    for limit in items:
        if not _LIMIT.fullmatch(limit.name):
            yield f'limit "{limit.name}" must be named <plugin>.<what>; rename it'
        elif limit.name.split(".")[0] not in scope.areas:
            yield f'limit "{limit.name}" does not begin with its own id; rename it "{scope.plugin}.…"'
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


def routes(items: Sequence[Route], scope: Scope) -> Iterator[str]:
    for route in items:
        where = f"route {route.method} {route.path} ({route.name})"
        yield from (f"{where}: {line}" for line in _route(route, scope))


def route_shape(route: Route) -> str:
    """A route as the URL map tells it from others: method, path and the types of its parameters, not their names."""

    def kind(match: re.Match[str]) -> str:
        return "<string>" if match[1] in (None, "str", "default") else f"<{match[1]}>"

    return f"{route.method} {_ANY_PARAMETER.sub(kind, route.path)}"


def _route(route: Route, scope: Scope) -> Iterator[str]:
    who = [route.permission is not None, route.signed_in, route.operator, route.public]
    if not any(who):
        yield "does not say who may call it; give it a permission, signed_in, operator or public"
    elif sum(who) > 1:
        yield "exactly one of permission, signed_in, operator and public may be given"
    if route.any_tenant_state and not (route.public and not route.needs_tenant):
        yield "any_tenant_state is for people outside: it goes with public=True and needs_tenant=False only"
    named = [("permission", route.permission)] if route.permission is not None else []
    for what, name in (*named, *(("limit", limit) for limit in route.limits)):
        if scope.is_missing(what, name):
            yield f'no one registers the {what} "{name}"{nearest(name, scope.names[what])}'
    if route.returns is Events and route.method != "GET":
        yield "only GET answers with Events; change the method"
    if route.cache is not None and not (route.public and route.method == "GET" and not route.effects):
        yield "cache is for public GET routes without effects only: what is behind a sign-in is nobody's to keep"
    if route.socket and (route.method != "GET" or route.body or route.listing or route.effects):
        yield "a socket is opened by GET and has no body, listing or effects; leave them out"
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
    if set(_PARAMETER.sub("", path)) & set("<>?# {}:"):
        yield 'the path cannot be read; parameters are written "<uuid:project_id>"'


def models(items: Sequence[type[Model]], scope: Scope) -> Iterator[str]:
    owner = scope.plugin
    for model in items:
        table = model._meta.db_table
        if model._meta.abstract:
            yield f"model {model.__name__} is abstract; register the models that have tables"
        elif owner != HOST and not table.startswith(f"{owner}_"):
            yield f'model {model.__name__}: its table "{table}" must begin with "{owner}_"; set Meta.table'
        if owner != HOST and not issubclass(model, TenantModel):
            yield (
                f"model {model.__name__} is no TenantModel, so every organisation would see all of its rows; derive it "
                "from host.sdk.TenantModel"
            )
    for forgotten in _unregistered(items):
        yield f"model {forgotten.__name__} in {forgotten.__module__} is not registered; return it from register_models"


def _unregistered(registered: Sequence[type[Model]]) -> list[type[Model]]:
    """Models that stand beside registered ones: the ORM finds them by module, row-level security would not."""
    modules = dict.fromkeys(model.__module__ for model in registered)
    return [
        model
        for name in modules
        for model in vars(sys.modules[name]).values()
        if inspect.isclass(model)
        and issubclass(model, Model)
        and model.__module__ == name
        and not model._meta.abstract
        and model not in registered
    ]


def tasks(items: Sequence[Task], scope: Scope) -> Iterator[str]:
    for task in items:
        if not _WORD.fullmatch(task.name):
            yield f'task "{task.name}": the name must be one lower-case word with underscores; rename it'
        called = {"run": task.run, "channel": task.channel, "on_retry": task.on_retry, "on_cancel": task.on_cancel}
        for name, function in called.items():
            if not (function is None or isinstance(function, Channel) or is_async(function)):
                yield f'task "{task.name}": {name} must be `async def`'
        if task.timeout <= 0 or task.tries < 1 or task.backoff < 0 or (task.every and task.every.total_seconds() <= 0):
            yield f'task "{task.name}": timeout and every must be above 0, tries at least 1, backoff not below 0'
        if task.at and task.every:
            yield f'task "{task.name}": it has both `every` and `at`; keep one of them'
        if task.at and (problem := cron_problem(task.at)):
            yield f'task "{task.name}": at "{task.at}": {problem}; write a cron line such as "0 9 * * 1"'
        if task.zone not in ("tenant", "UTC"):
            yield f'task "{task.name}": its zone must be "tenant" or "UTC", not {task.zone!r}'


def live_channels(items: Sequence[LiveChannel], scope: Scope) -> Iterator[str]:
    for channel in items:
        where = f'live channel "{channel.name}"'
        if not _LIMIT.fullmatch(channel.name):
            yield f"{where} must be named <plugin>.<what>; rename it"
        elif channel.name.split(".")[0] not in scope.areas:
            yield f'{where} does not begin with its own id; rename it "{scope.plugin}.…"'
        if channel.history < 1 or channel.seconds < 1:
            yield f"{where}: history and seconds must be at least 1"
        if channel.may_follow is not None and not is_async(channel.may_follow):
            yield f"{where}: may_follow must be `async def`"


def health_checks(items: Sequence[HealthCheck], scope: Scope) -> Iterator[str]:
    for item in items:
        if not is_async(item.check):
            yield f'health check "{item.name}": its function must be `async def`'


def metrics(items: Sequence[Metric], scope: Scope) -> Iterator[str]:
    prefix = "tenantry_" if scope.plugin == HOST else f"tenantry_{scope.plugin}_"
    for metric in items:
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


def listeners(items: Sequence[Subscription], scope: Scope) -> Iterator[str]:
    events = scope.names["event"]
    for subscription in items:
        event = subscription.event
        owner = event.split(".", 1)[0]
        if "." not in event:
            yield f'listener: "{event}" must be "<plugin>.<ClassName>"{nearest(event, events)}'
        elif owner in scope.loaded and scope.is_missing("event", event):
            yield f'listener: no one announces the event "{event}"{nearest(event, events)}'
        if not is_async(subscription.listener):
            yield f'listener of "{event}": must be `async def`'
