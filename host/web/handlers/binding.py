"""Compile a handler's signature into a function that fills its parameters from the request."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.http import parse_cookie

from host.contracts import Actor, Events, Query, Route
from host.errors import BadRequest, ConfigurationError, PreconditionFailed
from host.execution_context import actor
from host.web.handlers.payload import body_reader
from host.web.handlers.querystring import LAST_EVENT_ID, Params, listing_reader, model_reader, parse
from host.web.responses.content_negotiation import check_accept
from host.web.routes import annotations_of
from host.web.server.request import TenantryRequest
from host.web.server.websocket import Socket, socket_of

Binder = Callable[[TenantryRequest, Mapping[str, Any]], Coroutine[Any, Any, Any]]
"""Reads the request and awaits the handler: `await binder(request, path_params)` gives the handler's result."""

_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([A-Za-z_][A-Za-z0-9_]*)>")
_ETAG = re.compile(r'^(?:W/)?"([^"]*)"$')
_VERSION = re.compile(r"([0-9]{1,10})(?:-[0-9a-f]+)?")


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """The HTTP request itself, for handlers that need more than its input, such as sign-in or a signed webhook.

    headers: by lower-case name. address: the client's, as reported by the trusted proxies.

    Example:
        async def receive(request: RequestFacts) -> None:
            if request.headers.get("x-signature") != expected:
                raise Unauthenticated
    """

    method: str
    path: str
    query_string: str
    scheme: str
    address: str
    headers: Mapping[str, str]
    _request: TenantryRequest

    @property
    def user_agent(self) -> str:
        """The User-Agent header, "" when it was not sent."""
        return self.headers.get("user-agent", "")

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name; unreadable ones are left out, and of two with the same name the first counts."""
        return parse_cookie(self.headers.get("cookie", "")).to_dict()

    async def read(self) -> bytes:
        """The whole raw body, such as a signed webhook's.

        Raises:
            PayloadTooLarge: it is longer than the route's `max_body`, or the deployment's.
            BadRequest: it did not arrive in time.
        """
        return await self._request.body.read()

    def chunks(self) -> AsyncIterator[bytes]:
        """The raw body piece by piece, at the reader's pace; raises what `read` raises."""
        return self._request.body.chunks()


def path_parameters(path: str) -> tuple[str, ...]:
    """The names of a path's parameters: `/tasks/<uuid:task_id>` -> ("task_id",)."""
    return tuple(_PARAMETER.findall(path))


def compile(route: Route) -> Binder:
    """The function that reads a request for `route` and awaits its handler.

    Parameters are recognised by name or type: the path's own names; `body` and `query`, pydantic models; `Query`, a
    list's filters, sorting and cursor; `Actor`; `RequestFacts`; `Socket`; `if_match: int | None`, If-Match's version.

    Raises:
        ConfigurationError: a parameter is none of these, one of the path's is missing, or the handler is not async.
    """
    label = f"route {route.name} ({route.method} {route.path})"
    handler = route.handler
    if not inspect.iscoroutinefunction(inspect.unwrap(handler)):
        raise ConfigurationError(f"{label}: the handler must be an `async def` function")
    hints = annotations_of(handler, label)
    parameters = inspect.signature(handler).parameters
    in_path = path_parameters(route.path)
    if missing := [name for name in in_path if name not in parameters]:
        raise ConfigurationError(f"{label}: the handler takes no parameter {', '.join(missing)}, which is in the path")
    if route.socket != (Socket in hints.values()):
        raise ConfigurationError(f"{label}: the handler of a socket, and no other, takes a parameter of type Socket")
    query = _QueryPart(route, parameters, hints)
    body = _body(route, parameters, hints, label)
    sources: list[tuple[str, Callable[[TenantryRequest], Any]]] = []
    for name, parameter in parameters.items():
        if name in in_path or name == body or name in query.names:
            continue
        source = _source(name, hints.get(name))
        if source is not None:
            sources.append((name, source))
        elif parameter.default is inspect.Parameter.empty:
            raise ConfigurationError(
                f"{label}: the parameter {name!r} is unknown; it is not in the path, nor `body`, `query`, `if_match`, "
                "a Query, an Actor, a RequestFacts or a Socket"
            )
    return _binder(route, tuple(sources), query, body)


def _binder(
    route: Route, sources: tuple[tuple[str, Callable[[TenantryRequest], Any]], ...], query: _QueryPart, body: str | None
) -> Binder:
    handler, read_body = route.handler, body_reader(route.body) if body and route.body else None

    async def call(request: TenantryRequest, path_params: Mapping[str, Any]) -> Any:
        check_accept(request.raw_headers.get(b"accept"), route)
        values = dict(path_params)
        for name, source in sources:
            values[name] = source(request)
        if query.names:
            values.update(query.read(request))
        if read_body is not None and body is not None:
            values[body] = await read_body(request)
        return await handler(**values)

    return call


class _QueryPart:
    """The handler's parameters that come from the query string: a model, a list's `Query`, or both."""

    def __init__(self, route: Route, parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]) -> None:
        self.names: tuple[str, ...] = ()
        self._events = route.returns is Events
        self._model: tuple[str, Callable[[Params], Any]] | None = None
        self._listing: tuple[str, Callable[[Params], Query]] | None = None
        self._fields: frozenset[str] = frozenset()
        model = route.query
        read_model = model_reader(model) if model is not None else None
        for name in parameters:
            if hints.get(name) is Query:
                self._listing = (name, listing_reader(route.listing))
            elif read_model is not None and hints.get(name) is route.query:
                self._model = (name, read_model)
            else:
                continue
            self.names += (name,)
        if model is not None:
            self._fields = frozenset(field.alias or key for key, field in model.model_fields.items())

    def read(self, request: TenantryRequest) -> dict[str, Any]:
        params = parse(request.query_string)
        if self._events:
            params.pop(LAST_EVENT_ID, None)
        values: dict[str, Any] = {}
        if self._model is not None:
            name, read = self._model
            model_params = {key: texts for key, texts in params.items() if key in self._fields}
            values[name] = read(model_params if self._listing else params)
        if self._listing is not None:
            name, read_listing = self._listing
            values[name] = read_listing({key: texts for key, texts in params.items() if key not in self._fields})
        return values


def _body(
    route: Route, parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any], label: str
) -> str | None:
    if route.body is None:
        return None
    names = [name for name in parameters if hints.get(name) is route.body]
    if len(names) != 1:
        raise ConfigurationError(f"{label}: exactly one parameter must be annotated {route.body.__name__}")
    return names[0]


def _source(name: str, annotation: Any) -> Callable[[TenantryRequest], Any] | None:
    if annotation is Actor:
        return lambda request: actor()
    if annotation is RequestFacts:
        return facts
    if annotation is Socket:
        return socket_of
    if name == "if_match":
        return lambda request: version_of(request.header(b"if-match"))
    return None


def facts(request: TenantryRequest) -> RequestFacts:
    """The `RequestFacts` of a request."""
    return RequestFacts(
        method=request.method,
        path=request.path,
        query_string=request.query_string.decode("latin-1"),
        scheme=request.scheme,
        address=request.remote_addr or "",
        headers={key.decode("latin-1"): value.decode("latin-1") for key, value in request.raw_headers.items()},
        _request=request,
    )


def version_of(if_match: str | None) -> int | None:
    """The version in an If-Match header; None when the header is missing or `*`.

    Only the version in a tag (`"3-1f0c…"`) counts: an edit conflicts with other edits, not with changes of related
    data. The version alone (`"3"`) is accepted, and a weak tag (`W/"3"`), as compressing proxies make tags weak.

    Raises:
        BadRequest: it is not exactly one ETag.
        PreconditionFailed: it is an ETag that this API never gave.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tag = _ETAG.match(if_match.strip())
    if tag is None:
        raise BadRequest('If-Match takes one ETag as we gave it, such as "3-1f0c9a", or *.')
    version = _VERSION.fullmatch(tag[1])
    if version is None:
        raise PreconditionFailed
    return int(version[1])
