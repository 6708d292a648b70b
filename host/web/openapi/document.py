"""Build the OpenAPI 3.1 document of the plugins' routes, and serve it with the documentation pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from host.contracts import API_BASE, Route
from host.registry.loading import LoadedPlugin
from host.web.openapi.docs_page import DOCS, documentation_pages
from host.web.openapi.operations import error_responses, operation, tag_of
from host.web.openapi.postman import collection
from host.web.openapi.schemas import Components, Schema
from host.web.responses.reply import JSON, Reply, dumps, json_reply
from host.web.routes import openapi_path, split_docstring
from host.web.server.application import View
from host.web.server.request import TenantryRequest

_KEPT = 64
_ERROR: Schema = {
    "type": "object",
    "properties": {
        "success": {"const": False},
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "status": {"type": "integer"},
                "details": {"type": "object", "additionalProperties": True},
                "request_id": {"type": "string"},
            },
            "required": ["code", "message", "status", "details", "request_id"],
        },
    },
    "required": ["success", "error"],
}
_PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "details": {"type": "object", "additionalProperties": True},
        "request_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code"],
}
_PAGE_META: Schema = {
    "type": "object",
    "properties": {"limit": {"type": "integer"}, "next_cursor": {"type": ["string", "null"]}},
    "required": ["limit", "next_cursor"],
}
_PARAMETERS: Mapping[str, Any] = {
    "Tenant": {
        "name": "X-Tenant",
        "in": "header",
        "description": "The organisation's slug; may be left out where key, domain or token name it.",
        "schema": {"type": "string", "pattern": "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": 'The ETag that was read, or the version alone, such as "3"; 412 if it was changed since.',
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Kept for 24 hours: the same request again gets the first answer again.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
}
_INTRODUCTION = """\
**Sign in**: `POST /auth/login` with `email` and `password` answers with an `access_token`; press *Authorize* on this
page and paste it, or send `Authorization: Bearer <token>`. Programs take an API key (`POST /tenant/api-keys`) in its
place. `POST /auth/register` makes an account, with an organisation of its own if `tenant_name` is given.

**Which organisation**: `X-Tenant: <slug>`; where it is left out, the token's default or the key's own.
`GET /me/tenants` lists yours.

**Answers** are `{"success": true, "data": …}`, errors `{"success": false, "error": {"code", "message", "details", …}}`.

**Lists** come in pages: `limit` rows, the next ones with `cursor` from `meta.next_cursor`; `sort=-created_at` turns an
order around; filters go by the name of a field.

**WebSockets** are listed in this document as `x-sockets`. Programs send `Authorization` with the handshake. Browsers
cannot: their first message is `{"token": "…", "tenant": "slug"}`, or they connect with `?ticket=` and a ticket of
`POST /tickets`. Messages are text. A socket that is open is closed with 4000 + the status of an error, such as 4401 or
4403, also within a second after a right is gone; with 1001 when the server stops, 1003 for binary messages, 1009 for
too large ones, 1011 for internal errors and 1013 where messages come or go too fast.

**Edits** take `If-Match` with the `ETag` that was read; **POSTs** that create take an `Idempotency-Key`.
"""
_BEARER = {"type": "http", "scheme": "bearer", "description": "An access token, or an API key."}


def document(
    routes: Iterable[tuple[str, Route]],
    *,
    version: str,
    title: str = "Tenantry",
    tags: Mapping[str, str] | None = None,
    plugins: Collection[str] | None = None,
) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `routes`, pairs of plugin id and route.

    version: the API's. tags: plugin id -> description. plugins: the ids to show; None: all.

    Raises:
        ValueError: two routes have the same operation id.
    """
    components = Components()
    paths: dict[str, dict[str, Any]] = {}
    sockets: list[dict[str, Any]] = []
    operation_ids: set[str] = set()
    plugin_by_tag: dict[str, str] = {}
    for plugin, route in routes:
        if plugins is not None and plugin not in plugins:
            continue
        if route.socket:
            sockets.append(_socket(plugin, route))
            continue
        described = operation(plugin, route, components)
        if described["operationId"] in operation_ids:
            raise ValueError(f"two routes are called {described['operationId']}")
        operation_ids.add(described["operationId"])
        plugin_by_tag.setdefault(tag_of(plugin, route), plugin)
        paths.setdefault(openapi_path(route.path), {})[route.method.lower()] = described
    descriptions = tags or {}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": _INTRODUCTION},
        "servers": [{"url": API_BASE}],
        "security": [{"bearer": []}],
        "tags": [{"name": tag, "description": descriptions.get(plugin, "")} for tag, plugin in plugin_by_tag.items()],
        "paths": paths,
        "x-sockets": sockets,
        "components": _components(components),
    }


def _socket(plugin: str, route: Route) -> dict[str, Any]:
    """A WebSocket, which OpenAPI cannot describe."""
    summary, text = split_docstring(route.handler)
    described = {"path": openapi_path(route.path), "operation": f"{plugin}.{route.name}"}
    return described | {"summary": route.summary or summary, "description": text, "permission": route.permission}


def _components(filled: Components) -> dict[str, Any]:
    return {
        "securitySchemes": {"bearer": _BEARER},
        "parameters": dict(_PARAMETERS),
        "responses": error_responses(),
        "schemas": {"Error": _ERROR, "Problem": _PROBLEM, "PageMeta": _PAGE_META, **filled.schemas},
    }


class Documents:
    """The API documents of the loaded plugins, made once for each set of active plugins and cached as bytes."""

    def __init__(self, routes: Sequence[tuple[str, Route]], plugins: Sequence[LoadedPlugin]) -> None:
        """Take each route with its owner's id, and the plugins that are loaded."""
        self._routes, self._plugins = routes, plugins
        self._kept: dict[tuple[str, frozenset[str] | None], bytes] = {}

    def openapi(self, plugins: Collection[str] | None = None) -> dict[str, Any]:
        """The OpenAPI document of these plugins and the host's own routes; None: of all."""
        tags = {plugin.id: f"{plugin.manifest.name}: {plugin.manifest.summary}" for plugin in self._plugins}
        shown = None if plugins is None else {"host", *plugins}
        return document(self._routes, version=_version(), tags={"host": "The host", **tags}, plugins=shown)

    def encoded(self, kind: str, plugins: Collection[str] | None = None) -> bytes:
        """The document as JSON; kind: "openapi" or "postman"."""
        key = (kind, None if plugins is None else frozenset(plugins))
        if key not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            described = self.openapi(plugins)
            self._kept[key] = dumps(described if kind == "openapi" else collection(described))
        return self._kept[key]


def _version() -> str:
    try:
        return version("tenantry")
    except PackageNotFoundError:
        return "0"


ActiveFor = Callable[[TenantryRequest], Awaitable[Collection[str] | None]]
"""The plugins that are active for the organisation a request names; None when it names none."""


def pages(
    routes: Sequence[tuple[str, Route]], plugins: Sequence[LoadedPlugin], active_for: ActiveFor | None = None
) -> dict[str, View]:
    """GET views by absolute path: the OpenAPI document, the Postman collection, the documentation page, its assets.

    active_for: which plugins to show for a request; it raises what admission raises. None: every loaded plugin.
    """
    documents = Documents(routes, plugins)

    def serving(kind: str) -> View:
        async def view(request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
            plugins = await active_for(request) if active_for is not None else None
            body = documents.encoded(kind, plugins)
            length = (b"content-length", b"%d" % len(body))
            return Reply(200, [JSON, length, (b"cache-control", b"private, no-cache"), (b"vary", b"X-Tenant")], body)

        return view

    served = {
        "/": _start,
        f"{API_BASE}/openapi.json": serving("openapi"),
        f"{API_BASE}/postman.json": serving("postman"),
    }
    return served | documentation_pages(f"{API_BASE}/openapi.json")


async def _start(request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
    """Answer `/` with links to the documentation, the OpenAPI document, the health check and the jobs page."""
    return json_reply({"success": True, "data": _START}, 200)


_START = {"docs": DOCS, "openapi": f"{API_BASE}/openapi.json", "health": f"{API_BASE}/health", "jobs": "/api/jobs"}
