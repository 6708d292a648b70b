from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from host.contracts import Row
from host.errors import ConfigurationError, Conflict
from host.web.handlers.binding import RequestFacts
from host.web.routes import Routes
from host.web.server.application import build_quart

routes = Routes()


@routes.get("/things/<uuid:thing_id>", name="things.read", summary="Read", public=True)
async def read(thing_id: UUID) -> Row:
    return {"id": thing_id, "version": 1}


@routes.delete("/things/<uuid:thing_id>", name="things.delete", summary="Delete", public=True)
async def delete(thing_id: UUID) -> None:
    raise Conflict("Not now.")


@routes.get("/numbers/<int:number>", name="numbers.read", summary="Read", public=True)
async def number(number: int) -> int:
    return number


@routes.get("/texts/<text>", name="texts.read", summary="Read", public=True)
async def text(text: str) -> str:
    return text


@routes.get("/names/<str:name>", name="names.read", summary="Read", public=True)
async def name(name: str) -> str:
    return name


@routes.get("/broken", name="broken", summary="Broken", public=True)
async def broken() -> None:
    raise ValueError("hunter2")


@routes.post("/upload", name="upload", summary="Upload", public=True, max_body=100)
async def upload(request: RequestFacts) -> int:
    return len(await request.read())


@routes.post("/small", name="small", summary="Small", public=True)
async def small(request: RequestFacts) -> int:
    return len(await request.read())


THING = "/api/v1/things/0190163d-8694-739b-aea5-966c26f8ad91"


async def answer(web: Any, method: str, path: str, **more: Any) -> Any:
    return await web.app(routes, max_body=10).answer(web.request(method, path, **more))


async def test_route_when_asked_then_its_answer(web: Any) -> None:
    reply = await answer(web, "GET", THING)
    assert web.told(reply)["data"] == {"id": THING.rsplit("/", 1)[1], "version": 1}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1",
        "/api/v1/thing",
        THING + "/",
        "/" + THING,
        "/api//v1/broken",
        "/api/v1/things/17",
        "/api/v1/numbers/-1",
        "/api/v1/texts/a/b",
        "/API/V1/broken",
        "/api/v1/broken\n",
        "*",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "TRACE"])
async def test_path_when_unknown_then_not_found_whatever_the_method(web: Any, method: str, path: str) -> None:
    reply = await answer(web, method, path)
    assert (reply.status, web.told(reply)["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", [f"numbers/{2**63}", "texts/a\x00b", "names/a\x00b"])
async def test_path_when_no_database_could_hold_its_parameter_then_not_found(web: Any, path: str) -> None:
    assert (await answer(web, "GET", f"/api/v1/{path}")).status == 404


async def test_path_when_its_parameters_are_at_their_bounds_then_read(web: Any) -> None:
    assert web.told(await answer(web, "GET", f"/api/v1/numbers/{2**63 - 1}"))["data"] == 2**63 - 1
    assert web.told(await answer(web, "GET", "/api/v1/names/ä%b"))["data"] == "ä%b"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "TRACE", "BREW"])
async def test_method_when_not_taken_then_405_with_those_that_are(web: Any, method: str) -> None:
    reply = await answer(web, method, THING)
    assert (reply.status, web.told(reply)["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert web.header(reply, b"allow") == b"DELETE, GET, HEAD, OPTIONS"


async def test_options_when_asked_then_what_is_allowed_and_no_body(web: Any) -> None:
    reply = await answer(web, "OPTIONS", THING)
    assert (reply.status, reply.body, web.header(reply, b"allow")) == (204, b"", b"DELETE, GET, HEAD, OPTIONS")
    assert (await answer(web, "OPTIONS", "/nowhere")).status == 404


async def test_head_when_asked_then_as_get(web: Any) -> None:
    get, head = await answer(web, "GET", THING), await answer(web, "HEAD", THING)
    assert (head.status, head.headers) == (get.status, get.headers)


async def test_handler_when_it_refuses_then_its_error(web: Any) -> None:
    assert web.told(await answer(web, "DELETE", THING))["error"]["message"] == "Not now."


async def test_handler_when_it_breaks_then_500_without_a_word_of_it(web: Any) -> None:
    reply = await answer(web, "GET", "/api/v1/broken", headers={"accept": "application/problem+json"})
    assert (reply.status, web.header(reply, b"content-type")) == (500, b"application/problem+json")
    assert b"hunter2" not in reply.body


async def test_body_when_route_allows_more_then_more(web: Any) -> None:
    assert web.told(await answer(web, "POST", "/api/v1/upload", body=b"x" * 100))["data"] == 100
    assert (await answer(web, "POST", "/api/v1/upload", body=b"x" * 101)).status == 413
    assert (await answer(web, "POST", "/api/v1/small", body=b"x" * 11)).status == 413


async def test_headers_when_they_contradict_themselves_then_bad_request(web: Any) -> None:
    request = web.request("GET", THING)
    request.scope["headers"] = [(b"x-tenant", b"a"), (b"x-tenant", b"b"), (b"accept", b"application/problem+json")]
    reply = await web.app(routes).answer(request)
    assert (reply.status, web.header(reply, b"content-type")) == (400, b"application/problem+json")


async def test_page_when_given_then_served_without_the_caller(web: Any) -> None:
    async def page(request: Any, params: Any) -> Any:
        from host.web.responses.reply import Reply

        return Reply(200, [], params["name"].encode())

    reply = await web.app(routes, pages={"/pages/<name>": page}).answer(web.request("GET", "/pages/a"))
    assert reply.body == b"a"


async def uncalled(*_: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("path", ["/a/<uuid:id", "/a/<nothing:id>", "/a/<id>/<id>"])
def test_route_when_its_path_cannot_be_read_then_start_stops(path: str) -> None:
    bad = Routes()
    bad.add("GET", path, read, name="bad", summary="Bad", public=True)
    with pytest.raises(ConfigurationError, match=r"things\.bad"):
        build_quart([("things", bad[0])], uncalled, max_body=1, body_timeout=1)


def test_applications_when_several_are_built_then_they_share_nothing(web: Any) -> None:
    one, two = web.app(routes), web.app([])
    assert len(list(one.url_map.iter_rules())) == len(routes)
    assert list(two.url_map.iter_rules()) == []


async def test_quarts_test_client_when_used_then_it_works(web: Any) -> None:
    response = await web.app(routes).test_client().get(THING)
    assert (response.status_code, (await response.get_json())["success"]) == (200, True)
