"""Describe one route as an OpenAPI operation: parameters, body, responses, errors and access."""

from __future__ import annotations

import inspect
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from host.contracts import Created, Download, Events, Page, Query, Route, Stream
from host.web.handlers.binding import path_parameters
from host.web.handlers.idempotency import takes_key
from host.web.openapi.schemas import Components, Rows, Schema, filter_description, filter_schema
from host.web.routes import TYPED_PARAMETER, split_docstring

_PATH_TYPES: dict[str, Schema] = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "minimum": 0},
    "float": {"type": "number"},
}
_TEXT: Schema = {"type": "string"}
_POSITION: list[dict[str, Any]] = [
    {
        "name": name,
        "in": place,
        "schema": _TEXT,
        "description": "The id of the last event received: what came after it.",
    }
    for name, place in (("Last-Event-ID", "header"), ("last_event_id", "query"))
]
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
_LISTING = {
    "limit": "How many rows a page has at most.",
    "cursor": "Where the page begins: `meta.next_cursor` of the page before, or follow its Link header.",
    "sort": "The field the rows are in order of; `-` before it turns the order around.",
    "search": "Only rows that hold all of these words.",
    "q": "Only rows with all of these words, in any order.",
}
_BINARY: Schema = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_PARTIAL = {
    "206": {"description": "The bytes in Range.", "content": _BINARY},
    "304": {"description": "Unchanged since the ETag in If-None-Match, or the date in If-Modified-Since."},
}
_CONDITIONS = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
_TITLES = {
    400: "The request could not be read.",
    401: "Nobody is signed in, or the token is not valid any more.",
    402: "The plan does not include this, or a quota is used up.",
    403: "The permission is missing, or the organisation is suspended.",
    404: "There is no such thing, or the feature is switched off.",
    406: "No media type that Accept names can express the answer.",
    408: "The body arrives too slowly.",
    409: "It conflicts with something that exists or is still running.",
    412: "It was changed since it was read.",
    413: "The body is too large.",
    416: "Nothing of the file is in the range.",
    415: "The body is not JSON.",
    422: "Fields are invalid; details name the path of each.",
    429: "Too many requests.",
    503: "A service that this one needs is unavailable, or the feature is out of service.",
}


def tag_of(plugin: str, route: Route) -> str:
    """The tag that groups a route's operations: its plugin and resource, such as `mail.messages`."""
    return f"{plugin}.{route.name.rpartition('.')[0] or route.name}"


def operation(plugin: str, route: Route, components: Components) -> dict[str, Any]:
    """The operation object (OpenAPI 3.1, section 4.8.10) of a route."""
    described: dict[str, Any] = {
        "operationId": f"{plugin}.{route.name}",
        "summary": route.summary,
        "tags": [tag_of(plugin, route)],
        "x-plugin": plugin,
    }
    sentence, rest = split_docstring(route.handler)
    if text := rest if sentence == route.summary else inspect.getdoc(route.handler):
        described["description"] = text
    described |= _access(route)
    if route.any_tenant_state:
        described["x-any-tenant-state"] = True
    if route.limits:
        described["x-limits"] = list(route.limits)
    if parameters := _parameters(plugin, route, components):
        described["parameters"] = parameters
    if route.body is not None:
        schema = components.of(plugin, route.body, "validation")
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    described["responses"] = {**_success(plugin, route, components), **_errors(route)}
    return described


def _access(route: Route) -> dict[str, Any]:
    if route.public:
        return {"x-public": True, "security": []}
    if route.operator:
        return {"x-operator": True}
    return {"x-permission": route.permission} if route.permission else {"x-signed-in": True}


def _takes(route: Route) -> dict[str, Any]:
    """The handler's parameters by name, as types."""
    hints = get_type_hints(inspect.unwrap(route.handler))
    return {name: hints.get(name) for name in inspect.signature(route.handler).parameters}


def _parameters(plugin: str, route: Route, components: Components) -> list[dict[str, Any]]:
    kinds = {match["name"]: match["kind"] or "" for match in TYPED_PARAMETER.finditer(route.path)}
    listed: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_TYPES.get(kinds[name], {"type": "string"})}
        for name in path_parameters(route.path)
    ]
    takes = _takes(route)
    if route.needs_tenant:
        listed.append({"$ref": "#/components/parameters/Tenant"})
    if route.query is not None:
        listed += _of_model(plugin, route, components)
    if Query in takes.values():
        listed += _of_listing(route)
    if route.returns is Events:
        listed += _POSITION
    if "if_match" in takes:
        listed.append({"$ref": "#/components/parameters/IfMatch"})
    sent = (*(_CONDITIONS if route.returns is Download else ()), *route.request_headers)
    listed += [{"name": name, "in": "header", "schema": {"type": "string"}} for name in sent]
    if takes_key(route):
        listed.append({"$ref": "#/components/parameters/IdempotencyKey"})
    return listed


def _of_model(plugin: str, route: Route, components: Components) -> list[dict[str, Any]]:
    components.of(plugin, route.query, "validation")
    assert route.query is not None
    schema = components.schemas[f"{plugin}.{route.query.__name__}"]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field_schema}
        for name, field_schema in schema.get("properties", {}).items()
    ]


def _of_listing(route: Route) -> list[dict[str, Any]]:
    parameters: dict[str, Schema] = {"limit": _LIMIT, "cursor": {"type": "string", "maxLength": 1000}}
    said = dict(_LISTING)
    if isinstance(route.listing, Rows):
        rows = route.listing
        sorts = [order for sort in rows.sorts for order in (sort, f"-{sort}")]
        if sorts:
            parameters["sort"] = {"type": "string", "enum": sorts, "default": rows.default_sort}
        if rows.search:
            parameters["search"] = {"type": "string", "maxLength": 1000}
        if rows.full_text:
            parameters["q"] = {"type": "string", "maxLength": 1000}
        parameters |= {name: filter_schema(rows, name) for name in rows.filters}
        said |= {name: filter_description(rows, name) for name in rows.filters}
    return [
        {"name": name, "in": "query", "schema": schema, "description": said[name]}
        for name, schema in parameters.items()
    ]


def _success(plugin: str, route: Route, components: Components) -> dict[str, Any]:
    if route.status == 204:
        return {"204": {"description": "Done; the answer has no content."}}
    others = _others(route)
    if route.returns in {Stream, Download}:
        content: dict[str, Any] = dict(_BINARY)
        if others:
            content["application/json"] = {"schema": {"type": "object", "required": ["success", "data"]}}
        whole = {"description": "The content.", "content": content}
        return {str(route.status): whole} | (_PARTIAL if route.returns is Download else {})
    if route.returns is Events:
        return {"200": {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": _TEXT}}}}
    answer: dict[str, Any] = {"description": "Done."}
    headers: dict[str, Any] = {}
    if route.status == 201:
        headers["Location"] = {"schema": {"type": "string"}, "description": "Where the new resource is."}
    answer["content"] = {"application/json": {"schema": _envelope(plugin, route, components)}}
    if isinstance(route.returns, Rows) and "version" in route.returns.names and not _is_list(route):
        headers["ETag"] = {"schema": {"type": "string"}, "description": "For If-Match."}
    if headers:
        answer["headers"] = headers
    answers = {str(route.status): answer}
    if others and route.status == 201:
        answers["200"] = {name: part for name, part in answer.items() if name != "headers"}
    if "ETag" in headers and route.method == "GET":
        answers["304"] = {"description": "Unchanged since the ETag in If-None-Match."}
    return answers


def _others(route: Route) -> list[Any]:
    """What else a handler may return besides a stream or `Created`, by its annotation: `Row | Created`."""
    returned = get_type_hints(inspect.unwrap(route.handler)).get("return")
    kinds = get_args(returned) if get_origin(returned) in {Union, UnionType} else ()
    return [kind for kind in kinds if kind not in {Stream, Download, Created, type(None)}]


def _envelope(plugin: str, route: Route, components: Components) -> Schema:
    returned = get_type_hints(inspect.unwrap(route.handler)).get("return")
    shape = route.returns if route.returns is not None else _annotated_shape(returned)
    schema = components.of(plugin, shape)
    properties: dict[str, Schema] = {"success": {"const": True}, "data": schema}
    if _is_list(route):
        if schema.get("type") != "array":
            properties["data"] = {"type": "array", "items": schema}
        properties["meta"] = {"$ref": "#/components/schemas/PageMeta"}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _is_list(route: Route) -> bool:
    returned = get_type_hints(inspect.unwrap(route.handler)).get("return")
    return route.listing is not None or returned is Page or getattr(returned, "__origin__", None) in {list, tuple}


def _annotated_shape(returned: Any) -> Any:
    """The shape that a return annotation names; None when it is one of the host's wrappers, such as `Page`."""
    wrapped = isinstance(returned, type) and returned.__module__ == Created.__module__
    return None if returned in {None, type(None)} or wrapped else returned


def _errors(route: Route) -> dict[str, Any]:
    statuses = {404, 406, 429, 503, *route.refusals}
    takes = _takes(route)
    if any(not match["kind"] for match in TYPED_PARAMETER.finditer(route.path)):
        statuses |= {422}  # text in the path may be invalid, such as no slug
    if not route.public:
        statuses |= {401}
    if route.permission or route.operator or route.needs_tenant:
        statuses |= {403}
    if route.needs_tenant:
        statuses |= {400, 402}
    if route.method == "POST" or route.method in {"PUT", "PATCH", "DELETE"}:
        statuses |= {409}
    if route.body is not None:
        statuses |= {400, 408, 413, 415, 422}
    if route.query is not None or Query in takes.values():
        statuses |= {400, 422}
    if "if_match" in takes:
        statuses |= {400, 412}
    if route.returns is Download:
        statuses |= {412, 416}
    return {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in sorted(statuses)}


def error_responses() -> dict[str, Any]:
    """The `components.responses` that operations refer to."""
    content = {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}},
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
    }
    described: dict[str, Any] = {
        f"Error{status}": {"description": title, "content": content} for status, title in _TITLES.items()
    }
    for status in (429, 503):
        seconds = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
        described[f"Error{status}"]["headers"] = {"Retry-After": seconds}
    return described
