"""The Quart application: match routes and answer requests without sessions, signals or HTML errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

from quart import Quart
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import IntegerConverter, Map, MapAdapter, UnicodeConverter

from host import errors
from host.contracts import API_BASE, Route
from host.errors import ConfigurationError
from host.execution_context import origin
from host.web.responses.errors import problem
from host.web.responses.reply import Reply
from host.web.server.connection import TenantryConnection
from host.web.server.framing import check_framing
from host.web.server.request import Scope, TenantryRequest
from host.web.server.request_state import known_request_state
from host.web.server.websocket import LARGEST, Socket, TenantryWebsocket

Caller = Callable[[Route, str, TenantryRequest, Mapping[str, Any]], Awaitable[Reply]]
"""`await caller(route, plugin_id, request, path_params)` answers a matched request, admission included."""

SocketCaller = Callable[[Route, str, TenantryRequest, Mapping[str, Any], Socket], Awaitable[None]]
"""`await caller(route, plugin_id, request, path_params, socket)` serves a socket to its end, admission included."""

SocketView = Callable[[TenantryRequest, Mapping[str, Any], Socket], Awaitable[None]]
View = Callable[[TenantryRequest, Mapping[str, Any]], Awaitable[Reply]]
Missing = Callable[[str], errors.ApiError]


class _Integer(IntegerConverter):
    """Path integers that every database can hold."""

    def __init__(self, map: Map, *args: Any, **options: Any) -> None:
        super().__init__(map, *args, **({"max": 2**63 - 1} | options))


class _Text(UnicodeConverter):
    """Path text without NUL, which no database holds."""

    def to_python(self, value: str) -> str:
        if "\x00" in value:
            raise errors.NotFound
        return value


class TenantryQuart(Quart):
    """Quart that routes a request to its view in `answer`, without session, signals, request context or HTML.

    Attributes:
        max_body: bytes a request body may have, unless its route says otherwise.
        body_timeout, min_body_rate: seconds a client may be silent, and bytes a second it must keep to after them.
        missing: makes the error for a path that no route has.
    """

    asgi_http_class = cast(Any, TenantryConnection)
    asgi_websocket_class = cast(Any, TenantryWebsocket)
    request_class = cast(Any, TenantryRequest)

    def __init__(self, max_body: int, body_timeout: float, min_body_rate: int, missing: Missing) -> None:
        super().__init__("host.web", static_folder=None, template_folder=None)
        self.max_body = max_body
        self.body_timeout = body_timeout
        self.min_body_rate = min_body_rate
        self.missing = missing
        self.config["MAX_CONTENT_LENGTH"] = max_body
        self.config["BODY_TIMEOUT"] = body_timeout
        # No redirects for doubled or trailing slashes: werkzeug's own responses would bypass this API's format.
        self.url_map.merge_slashes = False
        self.url_map.converters |= {"int": _Integer, "str": _Text, "string": _Text, "default": _Text}
        self._views: dict[str, tuple[View, int]] = {}
        self._sockets: dict[str, tuple[SocketView, int]] = {}
        self._adapter: MapAdapter = self.url_map.bind("")

    def add_view(self, method: str, path: str, endpoint: str, view: View, max_body: int | None = None) -> None:
        """Serve `view` at an absolute path.

        Raises:
            ConfigurationError: the path cannot be read.
        """
        self._add_rule(path, endpoint, methods=[method])
        self._views[endpoint] = (view, self.max_body if max_body is None else max_body)

    def add_socket(self, path: str, endpoint: str, view: SocketView, largest: int | None = None) -> None:
        """Serve `view` to WebSockets at an absolute path; largest: bytes of a message.

        Raises:
            ConfigurationError: the path cannot be read.
        """
        self._add_rule(path, endpoint, methods=["GET"], websocket=True)
        self._sockets[endpoint] = (view, LARGEST if largest is None else largest)

    def _add_rule(self, path: str, endpoint: str, **options: Any) -> None:
        try:
            self.url_map.add(self.url_rule_class(path, endpoint=endpoint, **options))
        except (ValueError, LookupError, SyntaxError) as error:
            raise ConfigurationError(f"route {endpoint}: the path {path!r} cannot be read: {error}") from error

    async def answer(self, request: TenantryRequest) -> Reply:
        """The reply to a request: its view's, or an error document."""
        try:
            check_framing(cast(Scope, request.scope))
            if request.path.startswith("//"):  # werkzeug would take it for one slash
                raise _nothing_here()
            try:
                rule, params = self._adapter.match(request.path, request.method, return_rule=True)
            except MethodNotAllowed as refused:
                if request.method == "OPTIONS":
                    return _options(refused)
                raise
            except HTTPException:
                raise _nothing_here() from None
            view, max_body = self._views[rule.endpoint]
            if (state := known_request_state(request)) is not None:
                state.operation = rule.endpoint
            request.max_body = max_body
            return await view(request, params)
        except Exception as error:
            accept = cast("dict[bytes, bytes]", dict(request.scope["headers"])).get(b"accept")
            return problem(error, accept, origin().request_id)

    async def connect(self, request: TenantryRequest, socket: Socket) -> None:
        """Serve a WebSocket to its end.

        Raises:
            ApiError: nothing is there, or what its view raises.
        """
        check_framing(cast(Scope, request.scope))
        try:
            if request.path.startswith("//"):
                raise _nothing_here()
            rule, params = self._adapter.match(request.path, "GET", return_rule=True, websocket=True)
        except HTTPException:
            raise _nothing_here() from None
        view, socket.largest = self._sockets[rule.endpoint]
        if (state := known_request_state(request)) is not None:
            state.operation = rule.endpoint
        await view(request, params, socket)


def _nothing_here() -> errors.NotFound:
    return errors.NotFound("There is nothing at this address.")


def _options(refused: MethodNotAllowed) -> Reply:
    allow = ", ".join(sorted({*(refused.valid_methods or ()), "OPTIONS"}))
    return Reply(204, [(b"allow", allow.encode("ascii")), (b"cache-control", b"no-store")])


def build_quart(
    routes: Iterable[tuple[str, Route]],
    caller: Caller,
    socket_caller: SocketCaller | None = None,
    *,
    max_body: int,
    body_timeout: float,
    min_body_rate: int = 0,
    pages: Mapping[str, View] | None = None,
    missing: Missing = lambda path: errors.NotFound("There is nothing at this address."),
) -> TenantryQuart:
    """The application that serves `routes`, pairs of plugin id and route, each through `caller`.

    socket_caller: serves those that are sockets; GET without a handshake goes to `caller`.
    max_body: bytes. body_timeout, min_body_rate: seconds; bytes a second, 0 for any. pages: GET views by absolute path,
    such as the documentation page, that answer without `caller`. missing: makes the error for a path that no route has.

    Raises:
        ConfigurationError: a path cannot be read.
    """
    app = TenantryQuart(max_body, body_timeout, min_body_rate, missing)
    for plugin_id, route in routes:
        view: View = partial(caller, route, plugin_id)
        app.add_view(route.method, API_BASE + route.path, f"{plugin_id}.{route.name}", view, route.max_body)
        if route.socket and socket_caller is not None:
            socket_view: SocketView = partial(socket_caller, route, plugin_id)
            app.add_socket(API_BASE + route.path, f"{plugin_id}.{route.name}", socket_view, route.max_body)
    for path, page in (pages or {}).items():
        app.add_view("GET", path, f"page {path}", page)
    app.url_map.update()
    return app
