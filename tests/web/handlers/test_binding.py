from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from host.contracts import Actor, Origin, Query, Route
from host.errors import BadRequest, ConfigurationError, NotAcceptable, PayloadTooLarge, PreconditionFailed
from host.execution_context import acting
from host.web.handlers.binding import RequestFacts, compile, path_parameters, version_of
from host.web.routes import Routes


class Body(BaseModel):
    name: str


class Asked(BaseModel):
    deep: bool = False


async def everything(
    thing_id: UUID, body: Body, query: Asked, page: Query, actor: Actor, request: RequestFacts, if_match: int | None
) -> dict[str, Any]:
    return {
        "thing_id": thing_id,
        "name": body.name,
        "deep": query.deep,
        "limit": page.limit,
        "actor": actor.label,
        "agent": request.user_agent,
        "if_match": if_match,
    }


async def nothing() -> str:
    return "done"


async def raw(request: RequestFacts) -> bytes:
    return await request.read()


async def strange(wanted: int) -> None:
    raise NotImplementedError


async def optional(thing_id: UUID, verbose: bool = False) -> bool:
    return verbose


async def two(first: Body, second: Body) -> None:
    raise NotImplementedError


def not_async() -> None:
    raise NotImplementedError


def route(handler: Any, path: str = "/things", method: Any = "POST", **declared: Any) -> Route:
    return Routes().add(method, path, handler, name="things.do", summary="Do", public=True, **declared)


async def test_handler_when_it_asks_for_everything_then_it_gets_everything(web: Any) -> None:
    thing_id = uuid4()
    request = web.request(
        "POST",
        "/things/1",
        query="deep=1&limit=5",
        headers={"if-match": '"4"', "user-agent": "tests"},
        json={"name": "x"},
    )
    with acting(Origin("r1", Actor("user", uuid4(), "a@b.c"))):
        result = await web.call(route(everything, "/things/<uuid:thing_id>"), request, thing_id=thing_id)
    assert result == {
        "thing_id": thing_id,
        "name": "x",
        "deep": True,
        "limit": 5,
        "actor": "a@b.c",
        "agent": "tests",
        "if_match": 4,
    }


async def test_handler_when_it_asks_for_nothing_then_nothing_is_read(web: Any) -> None:
    receive = web.Messages(b"{")
    request = web.request("POST", receive=receive, headers={"content-length": "1"})
    assert await web.call(route(nothing), request) == "done"
    assert receive.taken == 0


async def test_handler_when_client_reads_no_json_then_not_called(web: Any) -> None:
    with pytest.raises(NotAcceptable):
        await web.call(route(strange, "/<int:wanted>"), web.request("POST", headers={"accept": "text/html"}), wanted=1)


async def test_raw_body_when_read_then_counted_against_the_limit(web: Any) -> None:
    assert await web.call(route(raw), web.request("POST", body=b"\x00\xff")) == b"\x00\xff"
    with pytest.raises(PayloadTooLarge):
        await web.call(route(raw), web.request("POST", body=b"x" * 11, max_body=10))


async def test_parameter_when_unknown_but_with_default_then_left_alone(web: Any) -> None:
    handler = route(optional, "/things/<uuid:thing_id>")
    assert await web.call(handler, web.request("POST", query="verbose=1"), thing_id=uuid4()) is False


@pytest.mark.parametrize(
    ("handler", "path", "words"),
    [
        (strange, "/things", "the parameter 'wanted' is unknown"),
        (nothing, "/things/<uuid:thing_id>", "takes no parameter thing_id"),
        (not_async, "/things", "must be an `async def`"),
    ],
)
def test_route_when_its_signature_cannot_be_met_then_start_stops(handler: Any, path: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        compile(route(handler, path))
    assert "things.do (POST" in str(refused.value)


def test_route_when_two_parameters_want_the_body_then_start_stops() -> None:
    with pytest.raises(ConfigurationError, match="exactly one parameter"):
        compile(route(two, body=Body))


def test_path_parameters_when_typed_or_not_then_named() -> None:
    assert path_parameters("/a/<uuid:one>/b/<two>/<int(max=3):three>") == ("one", "two", "three")
    assert path_parameters("/a") == ()


def test_if_match_when_ours_then_its_version() -> None:
    assert [version_of(text) for text in (None, "*", '"3"', 'W/"12-af"', ' "7" ', '"8-01"')] == [
        *(None, None, 3, 12, 7, 8)
    ]


@pytest.mark.parametrize("text", ['"1", "2"', "3", '"3', "x"])
def test_if_match_when_no_single_etag_then_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        version_of(text)


@pytest.mark.parametrize("text", ['"abc"', '""', '"3-"', '"3-XY"', '"-1"', '"' + "9" * 30 + '"', '"٣"'])
def test_if_match_when_never_given_by_us_then_precondition_failed(text: str) -> None:
    with pytest.raises(PreconditionFailed):
        version_of(text)


async def test_facts_when_asked_then_what_the_request_says(web: Any) -> None:
    async def look(request: RequestFacts) -> RequestFacts:
        return request

    request = web.request("GET", "/p", query="a=1", headers={"cookie": "refresh=abc; other=1", "x-tenant": "acme"})
    facts = await compile(Route("GET", "/p", look, "p", "p", public=True))(request, {})
    assert (facts.method, facts.path, facts.query_string, facts.address) == ("GET", "/p", "a=1", "192.0.2.7")
    assert (facts.cookies["refresh"], facts.headers["x-tenant"], facts.user_agent) == ("abc", "acme", "")


async def test_cookies_when_some_are_unreadable_then_the_others_are_there(web: Any) -> None:
    async def look(request: RequestFacts) -> Any:
        return request.cookies

    request = web.request("GET", headers={"cookie": 'bad name="x; refresh=abc; =; refresh=evil'})
    cookies = await compile(Route("GET", "/p", look, "p", "p", public=True))(request, {})
    assert cookies["refresh"] == "abc"
