from __future__ import annotations

import asyncio
from typing import Any

import pytest

from host.errors import BadRequest, PayloadTooLarge, RequestTimeout, Unavailable
from host.web.server.deadline import HandlerDeadline
from host.web.server.request import headers_of


def test_headers_when_repeated_then_joined() -> None:
    scope = {"headers": [(b"accept", b"a"), (b"cookie", b"x=1"), (b"accept", b"b"), (b"cookie", b"y=2")]}
    assert headers_of(scope) == {b"accept": b"a, b", b"cookie": b"x=1; y=2"}
    assert headers_of(scope) is headers_of(scope)


@pytest.mark.parametrize("name", [b"authorization", b"x-tenant", b"host", b"idempotency-key", b"if-match"])
def test_headers_when_one_that_decides_comes_twice_then_bad_request(name: bytes) -> None:
    with pytest.raises(BadRequest, match=name.decode()):
        headers_of({"headers": [(name, b"a"), (name, b"b")]})


async def test_request_when_quart_looks_at_it_then_it_is_one(web: Any) -> None:
    request = web.request("POST", "/a/b", query="x=1", json={"a": 1}, headers={"cookie": "c=d"})
    assert (request.method, request.path, request.args["x"], request.cookies["c"]) == ("POST", "/a/b", "1", "d")
    assert request.headers["Content-Type"] == "application/json"
    assert await request.get_json() == {"a": 1}
    assert request.remote_addr == "192.0.2.7"


async def test_form_when_quart_parses_it_then_fields_and_files_are_there(web: Any) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.txt"\r\n\r\nhello\r\n--b--\r\n'
    )
    from quart import Quart

    request = web.request("POST", body=body, headers={"content-type": "multipart/form-data; boundary=b"})
    async with Quart(__name__).app_context():
        assert (await request.form)["a"] == "1"
        assert (await request.files)["f"].read() == b"hello"
        await request.close()


def test_path_when_in_absolute_form_then_its_path(web: Any) -> None:
    assert web.request("GET", "http://evil.example/api/v1/me").path == "/api/v1/me"
    assert web.request("OPTIONS", "*").path == "*"


@pytest.mark.parametrize(
    ("headers", "version", "expected"),
    [
        ({}, "1.1", False),
        ({"content-length": "0"}, "1.1", False),
        ({"content-length": "5"}, "1.1", True),
        ({"transfer-encoding": "chunked"}, "1.1", True),
        ({}, "2", True),
        ({"content-length": "0"}, "2", False),
    ],
)
def test_body_when_headers_announce_it_then_expected(web: Any, headers: Any, version: str, expected: bool) -> None:
    assert web.request("POST", headers=headers, http_version=version).may_have_body is expected


async def test_body_when_read_twice_then_pulled_once(web: Any) -> None:
    receive = web.Messages(b"ab", b"cd")
    request = web.request("POST", headers={"content-length": "4"}, receive=receive)
    assert (await request.body.read(), await request.body.read()) == (b"abcd", b"abcd")
    assert [piece async for piece in request.body.chunks()] == [b"abcd"]
    assert receive.taken == 3


async def test_body_when_read_in_pieces_then_no_more_is_pulled_than_is_asked_for(web: Any) -> None:
    receive = web.Messages(b"ab", b"cd", b"ef")
    request = web.request("POST", headers={"transfer-encoding": "chunked"}, receive=receive)
    pieces = request.body.chunks()
    assert await anext(pieces) == b"ab"
    assert receive.taken == 1
    assert [piece async for piece in pieces] == [b"cd", b"ef"]
    assert request.body.complete


async def test_body_when_its_length_is_too_large_then_refused_unread(web: Any) -> None:
    receive = web.Messages(b"x")
    request = web.request("POST", headers={"content-length": "11"}, receive=receive, max_body=10)
    with pytest.raises(PayloadTooLarge):
        await request.body.read()
    assert receive.taken == 0


async def test_body_when_chunks_add_up_to_too_much_then_refused_in_the_middle(web: Any) -> None:
    receive = web.Messages(*[b"x" * 6] * 100)
    request = web.request("POST", headers={"transfer-encoding": "chunked"}, receive=receive, max_body=10)
    with pytest.raises(PayloadTooLarge):
        async for _ in request.body.chunks():
            pass
    assert receive.taken == 2


async def test_body_when_it_does_not_come_in_time_then_request_timeout(web: Any) -> None:
    receive = web.Messages(b"x", complete=False)
    request = web.request("POST", headers={"content-length": "9"}, receive=receive, body_timeout=0.05)
    with pytest.raises(RequestTimeout, match="in time"):
        await request.body.read()


def dripping(*pieces: bytes, every: float) -> Any:
    """A `receive` of a client that lets so many seconds pass before each piece."""
    waiting = list(pieces)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(every)
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    return receive


async def test_body_when_it_drips_in_then_its_pieces_share_one_deadline(web: Any) -> None:
    receive = dripping(*[b"x"] * 20, every=0.02)
    request = web.request("POST", headers={"content-length": "20"}, receive=receive, body_timeout=0.1)
    with pytest.raises(RequestTimeout, match="in time"):
        await request.body.read()


async def test_body_when_our_own_reader_is_slow_then_the_client_is_not_blamed(web: Any) -> None:
    receive = dripping(b"ab", b"cd", b"ef", every=0.01)
    request = web.request("POST", headers={"content-length": "6"}, receive=receive, body_timeout=0.1)
    seen = []
    async for piece in request.body.chunks():
        await asyncio.sleep(0.1)
        seen.append(piece)
    assert seen == [b"ab", b"cd", b"ef"]


async def test_body_when_it_keeps_to_the_rate_then_it_may_take_longer_than_the_time(web: Any) -> None:
    receive = dripping(*[b"x" * 100] * 20, every=0.02)
    request = web.request(
        "POST", headers={"content-length": "2000"}, receive=receive, body_timeout=0.1, min_body_rate=1000
    )
    assert len(await request.body.read()) == 2000


async def test_body_when_it_is_slower_than_the_rate_then_told_how_much_came_and_closed(web: Any) -> None:
    for version, headers in (("1.1", {"Connection": "close"}), ("2", {})):
        receive = dripping(*[b"x" * 10] * 50, every=0.02)
        request = web.request(
            "POST", headers={}, receive=receive, body_timeout=0.1, min_body_rate=100_000, http_version=version
        )
        request.scope["headers"].append((b"transfer-encoding", b"chunked"))
        with pytest.raises(RequestTimeout) as refused:
            await request.body.read()
        assert 20 <= refused.value.details["received"] <= 60
        assert (refused.value.details["min_body_rate"], refused.value.headers) == (100_000, headers)


async def test_body_when_it_was_fast_and_then_falls_silent_then_the_silence_is_not_paid_in_advance(web: Any) -> None:
    receive = web.Messages(b"x" * 1_000_000, complete=False)
    request = web.request("POST", headers={"content-length": "1000001"}, receive=receive, body_timeout=0.1)
    request.min_body_rate = 1
    async with asyncio.timeout(5):
        with pytest.raises(RequestTimeout):
            await request.body.read()


async def test_body_when_it_is_waited_for_then_the_handlers_clock_stands_still(web: Any) -> None:
    receive = dripping(*[b"x"] * 10, every=0.05)
    request = web.request("POST", headers={"content-length": "10"}, receive=receive)
    async with HandlerDeadline(0.1) as request.deadline:
        assert len(await request.body.read()) == 10
    receive = dripping(b"x", b"y", every=0.01)
    request = web.request("POST", headers={"content-length": "2"}, receive=receive)
    with pytest.raises(Unavailable, match=r"longer than 0\.1 seconds"):
        async with HandlerDeadline(0.1) as request.deadline:
            async for _ in request.body.chunks():
                await asyncio.sleep(5)


async def test_body_when_read_after_its_handler_then_the_deadline_is_over_and_no_matter(web: Any) -> None:
    request = web.request("POST", body=b"abc")
    async with HandlerDeadline(0.1) as request.deadline:
        pass
    assert await request.body.read() == b"abc"


async def test_body_when_client_leaves_then_bad_request(web: Any) -> None:
    request = web.request("POST", headers={"content-length": "9"}, receive=web.Messages(b"ab", gone=True))
    with pytest.raises(BadRequest, match="went away"):
        await request.body.read()


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "+5", ""])
async def test_length_when_it_is_no_number_then_bad_request(web: Any, length: str) -> None:
    with pytest.raises(BadRequest, match="Content-Length"):
        _ = web.request("POST", headers={"content-length": length}).declared_length
