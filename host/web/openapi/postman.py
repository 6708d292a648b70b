"""Convert an OpenAPI document into a Postman collection (format 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host.web.responses.reply import dumps

_SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_DEPTH = 8


def collection(document: Mapping[str, Any]) -> dict[str, Any]:
    """A collection with one folder per plugin; `{{base_url}}`, `{{token}}` and `{{tenant}}` are its variables."""
    folders: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            folder = folders.setdefault(operation["x-plugin"], [])
            folder.append(_request(document, path, method.upper(), operation))
    base = document["servers"][0]["url"]
    return {
        "info": {"name": document["info"]["title"], "version": document["info"]["version"], "schema": _SCHEMA},
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "variable": [
            {"key": "base_url", "value": f"http://127.0.0.1:8000{base}"},
            {"key": "token", "value": ""},
            {"key": "tenant", "value": ""},
        ],
        "item": [{"name": name, "item": items} for name, items in folders.items()],
    }


def _request(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    parameters = [_resolved(document, parameter) for parameter in operation.get("parameters", [])]
    headers = [{"key": "Accept", "value": "application/json"}]
    headers += [_header(parameter) for parameter in parameters if parameter["in"] == "header"]
    segments = [f":{part[1:-1]}" if part.startswith("{") else part for part in path.strip("/").split("/")]
    request: dict[str, Any] = {
        "method": method,
        "header": headers,
        "description": operation.get("description", operation["summary"]),
        "url": {
            "raw": "{{base_url}}/" + "/".join(segments),
            "host": ["{{base_url}}"],
            "path": segments,
            "query": [
                {"key": parameter["name"], "value": "", "disabled": not parameter.get("required", False)}
                for parameter in parameters
                if parameter["in"] == "query"
            ],
            "variable": [{"key": item["name"], "value": ""} for item in parameters if item["in"] == "path"],
        },
    }
    if operation.get("security") == []:
        request["auth"] = {"type": "noauth"}
    if "requestBody" in operation:
        request["body"] = _body(document, operation["requestBody"]["content"]["application/json"]["schema"])
        headers.append({"key": "Content-Type", "value": "application/json"})
    return {"name": operation["summary"], "request": request, "response": []}


def _header(parameter: Mapping[str, Any]) -> dict[str, Any]:
    if parameter["name"] == "X-Tenant":
        return {"key": "X-Tenant", "value": "{{tenant}}"}
    return {"key": parameter["name"], "value": "", "disabled": True}


def _body(document: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    example = dumps(_example(document, schema, _DEPTH)).decode()
    return {"mode": "raw", "raw": example, "options": {"raw": {"language": "json"}}}


def _resolved(document: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The target of a local `$ref`; any other value unchanged."""
    if "$ref" not in value:
        return value
    target: Any = document
    for part in str(value["$ref"]).removeprefix("#/").split("/"):
        target = target[part]
    resolved: Mapping[str, Any] = target
    return resolved


def _example(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Any:
    """An example value of a schema, for people to change."""
    schema = _resolved(document, schema)
    for fixed in ("const", "default", "example"):
        if fixed in schema:
            return schema[fixed]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _example(document, schema[choice][0], depth - 1)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" and depth > 0:
        properties = schema.get("properties", {})
        return {name: _example(document, schema, depth - 1) for name, schema in properties.items()}
    return {"object": {}, "array": [], "integer": 0, "number": 0, "boolean": False, "null": None}.get(kind, "")
