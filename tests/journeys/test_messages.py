"""Whatever is wrong with input, the message is in words: no names of classes, no patterns, nothing of our insides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from host.testing import TwoTenants

INSIDES = re.compile(
    r"0x[0-9a-f]{4,}|Traceback|<class|<function|object at|function-(?:after|before|wrap|plain)|\bNoneType\b|"
    r"pydantic|tortoise|asyncpg|sqlite|[Ii]nput should|Value error|[A-Za-z]+Error\b|invalid literal|badly formed|"
    r"\[a-z]-z|\(\?:|\{\d+,\d*\}|constrained-|is-instance|\[key\]|lax-or-strict"
)
BODY_VALUES: tuple[Any, ...] = (
    5,
    -1,
    2**63 - 1,
    "x",
    "\u202e",
    "",
    [],
    ["x"],
    [{}],
    {},
    {"x": {}},
    None,
    True,
    1.5,
    "9" * 70_000,
)
QUERY_VALUES = (
    *("x", "", "-1", "99999999999999999999", "NaN", "0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00 02:00"),
    *("9999-12-31T23:59:59-14:00", "1e400", "\u202e", "\uff11", "infinity"),
)


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        _, _, kind, name = schema["$ref"].split("/")
        schema = document["components"][kind][name]
    return schema


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Each operation with its path filled in, the fields of its body and of its query."""
    for path, methods in document["paths"].items():
        filled = re.sub(r"\{\w+\}", str(UUID(int=7)), path).removeprefix("/api/v1")
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            schema = resolved(document, content.get("schema", {}))
            parameters = [resolved(document, each) for each in operation.get("parameters", ())]
            query = [each["name"] for each in parameters if each["in"] == "query"]
            yield method.upper(), filled, list(schema.get("properties", ())), query


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_messages_when_every_operation_gets_every_kind_of_rubbish_then_are_words(two_tenants: TwoTenants) -> None:
    acme = two_tenants.acme
    document = (await acme.get("/api/v1/openapi.json")).json()
    asked, wrong = 0, list[str]()
    for method, path, fields, query in operations(document):
        sent = [{"json": dict.fromkeys(fields, value)} for value in BODY_VALUES if fields]
        sent += [{"params": {name: value}} for name in query for value in QUERY_VALUES]
        for given in sent:
            answer = await acme.request(method, f"/api/v1{path}", **given)
            asked += 1
            if complaint := fault(answer):
                wrong.append(f"{method} {path} {str(given)[:80]}: {complaint}")
    assert asked > 500
    assert wrong == [], "\n".join(wrong[:100])


def fault(answer: Any) -> str:
    """What must not be in an answer; "" when all is well."""
    if answer.status_code < 400:
        return ""
    error = answer.json()["error"]
    said = f"{error['message']} {error['details']}"
    found = INSIDES.search(said)
    return said[:300] if found or answer.status_code >= 500 else ""
