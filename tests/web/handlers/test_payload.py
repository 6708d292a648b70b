from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, RootModel

from host.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType, ValidationFailed
from host.web.handlers.payload import MAX_DEPTH, body_reader, check_json


class Part(BaseModel):
    number: int = 0


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    size: float = 1.0
    done: bool = False
    owner: UUID | None = None
    due: datetime | None = None
    parts: list[Part] = []
    extra_facts: dict[str, Any] = {}


read = body_reader(Thing)


async def test_body_when_right_then_json_types_become_python_types(web: Any) -> None:
    owner = "0190163d-8694-739b-aea5-966c26f8ad91"
    sent = {"name": "x", "size": 2, "owner": owner, "due": "2026-01-02T03:04:05Z", "parts": [{"number": 3}]}
    thing = await read(web.request("POST", json=sent))
    assert thing.owner == UUID(owner)
    assert thing.due == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert thing.parts == [Part(number=3)]


@pytest.mark.parametrize(
    ("sent", "paths"),
    [
        ({}, {"name"}),
        ({"name": 5}, {"name"}),
        ({"name": "x", "done": "yes"}, {"done"}),
        ({"name": "x", "size": "2"}, {"size"}),
        ({"name": "x", "owner": "nobody"}, {"owner"}),
        ({"name": "x", "nmae": "y", "admin": True}, {"nmae", "admin"}),
        ({"name": "x", "parts": [{"number": 1}, {"number": "2", "more": 1}]}, {"parts.1.number", "parts.1.more"}),
        ([], {"body"}),
        ("text", {"body"}),
        (None, {"body"}),
    ],
)
async def test_body_when_fields_are_wrong_then_each_is_named_by_its_path(web: Any, sent: Any, paths: set[str]) -> None:
    request = web.request("POST", body=orjson.dumps(sent), headers={"content-type": "application/json"})
    with pytest.raises(ValidationFailed) as refused:
        await read(request)
    assert set(refused.value.details) == paths


async def test_unknown_field_when_close_to_a_known_one_then_that_is_offered(web: Any) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await read(web.request("POST", json={"name": "x", "sise": 1}))
    assert refused.value.details == {"sise": 'there is no such field; did you mean "size"?'}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"name": NaN}', "not JSON"),
        (b'{"size": Infinity}', "not JSON"),
        (b'{"size": 1e999}', "not JSON"),
        (b"{", "not JSON"),
        (b"name=x", "not JSON"),
        (b"  \n", "no body"),
        (b'{"name": "\xff"}', "not UTF-8"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b'{"name": "\\ud800"}', "not JSON"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "levels deep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "levels deep"),
    ],
)
async def test_body_when_unreadable_then_bad_request(web: Any, body: bytes, message: str) -> None:
    request = web.request("POST", body=body, headers={"content-type": "application/json"})
    with pytest.raises(BadRequest, match=message):
        await read(request)


def test_depth_when_exactly_at_the_limit_then_read() -> None:
    check_json(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH)
    check_json(b"[" + b"[]," * 200 + b"[]]")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"name": "a\x00b"}, "name"),
        ({"name": "x", "extra_facts": {"a": [{"b\x00": 1}]}}, "extra_facts.a.0"),
        ({"name": "x", "parts": [{"number": 2**63}]}, "parts.0.number"),
        ({"name": "x", "parts": [{"number": 10**30}]}, "body"),
        ({"name": "x", "parts": [{"number": -(2**63) - 1}]}, "body"),
        ({"name": "x", "parts": [{"number": 10**300}]}, "body"),
    ],
)
async def test_value_when_no_database_can_hold_it_then_named(web: Any, value: Any, path: str) -> None:
    body = json.dumps(value).encode()
    request = web.request("POST", body=body, headers={"content-type": "application/json"})
    with pytest.raises(ValidationFailed) as refused:
        await read(request)
    assert set(refused.value.details) == {path}


async def test_text_when_it_looks_suspicious_but_is_not_then_read(web: Any) -> None:
    sent = {"name": "\\u0000 is how NUL is written", "extra_facts": {"card": "1" * 30, "big": 2**63 - 1}}
    thing = await read(web.request("POST", json=sent))
    assert thing.extra_facts == sent["extra_facts"]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "text/json"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/jsonx"},
        {},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_body_when_type_or_coding_is_another_then_unsupported(web: Any, headers: dict[str, str]) -> None:
    with pytest.raises(UnsupportedMediaType):
        await read(web.request("POST", body=b'{"name": "x"}', headers=headers))


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=UTF-8", "Application/JSON", "application/merge-patch+json"]
)
async def test_body_when_type_is_some_json_then_read(web: Any, content_type: str) -> None:
    request = web.request("POST", body=b'{"name": "x"}', headers={"content-type": content_type})
    assert (await read(request)).name == "x"


async def test_body_when_there_is_none_then_bad_request(web: Any) -> None:
    with pytest.raises(BadRequest, match="no body"):
        await read(web.request("POST"))


async def test_body_when_longer_than_allowed_then_too_large(web: Any) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        await read(web.request("POST", json={"name": "x" * 200}, max_body=100))
    assert refused.value.details == {"max_body": 100}


async def test_model_when_it_allows_any_field_then_they_are_kept(web: Any) -> None:
    free = await body_reader(RootModel[dict[str, int]])(web.request("POST", json={"a": 1}))
    assert free.root == {"a": 1}

    class Loose(BaseModel):
        model_config = ConfigDict(extra="allow", strict=False)
        number: int

    loose = await body_reader(Loose)(web.request("POST", json={"number": "5", "more": True}))
    assert (loose.number, loose.model_extra) == (5, {"more": True})


class Forgetful(BaseModel):
    """Does not say what is to become of unknown fields."""

    name: str


async def test_model_when_it_forgets_to_forbid_then_unknown_fields_are_refused_all_the_same(web: Any) -> None:
    with pytest.raises(ValidationFailed):
        await body_reader(Forgetful)(web.request("POST", json={"name": "x", "role": "owner"}))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=200), _values.map(lambda value: json.dumps(value).encode())))
async def test_body_when_anything_at_all_then_a_thing_or_an_error_of_the_api(body: bytes) -> None:
    from host.web.server.request import TenantryRequest

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))],
        "client": None,
    }
    try:
        assert isinstance(await read(TenantryRequest(scope, receive, max_body=None, body_timeout=1)), Thing)
    except (BadRequest, ValidationFailed) as error:
        orjson.dumps(error.details)
