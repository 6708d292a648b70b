from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from host.contracts import Accepted, Answer, Created, Origin, Page, Route, Stream
from host.execution_context import acting, origin
from host.web.handlers.binding import version_of
from host.web.responses.serialization import shape


async def handler() -> None:
    raise NotImplementedError


def route(method: Any = "GET", status: int = 200) -> Route:
    return Route(method, "/x", handler, "x", "x", public=True, status=status)


def test_row_when_returned_then_in_the_envelope_with_its_version_as_etag(web: Any) -> None:
    reply = shape({"id": 1, "version": 3}, {}, route())
    assert reply.status == 200
    assert web.told(reply) == {"success": True, "data": {"id": 1, "version": 3}}
    assert re.fullmatch(rb'"3-[0-9a-f]{16}"', web.header(reply, b"etag"))
    assert web.header(reply, b"cache-control") == b"private, no-cache"
    assert web.header(reply, b"vary") == b"Authorization, X-Tenant, Accept"
    assert web.header(reply, b"content-type") == b"application/json"
    assert web.header(reply, b"content-length") == str(len(reply.body)).encode()


@pytest.mark.parametrize("data", [{"version": "1.0"}, {"version": True}, {"a": 1}, "text", None.__class__.__name__, 5])
def test_data_when_it_has_no_version_then_no_etag_and_not_cached(web: Any, data: Any) -> None:
    reply = shape(data, {}, route())
    assert web.header(reply, b"etag") is None
    assert web.header(reply, b"cache-control") == b"no-store"
    assert web.told(reply)["data"] == data


@pytest.mark.parametrize("tags", [b"%s", b"W/%s", b'"1", %s', b"*"])
def test_row_when_client_has_it_as_it_is_then_not_modified(web: Any, tags: bytes) -> None:
    etag = tag_of(web, {"version": 3})
    reply = shape({"version": 3}, {b"if-none-match": tags.replace(b"%s", etag)}, route())
    assert (reply.status, reply.body, web.header(reply, b"etag")) == (304, b"", etag)


def tag_of(web: Any, data: Any) -> bytes:
    found: bytes = web.header(shape(data, {}, route()), b"etag")
    return found


@pytest.mark.parametrize("now", [{"version": 4, "plan": "free"}, {"version": 3, "plan": "pro"}, {"version": 3}])
def test_row_when_anything_in_it_is_another_then_told(web: Any, now: Any) -> None:
    etag = tag_of(web, {"version": 3, "plan": "free"})
    assert shape(now, {b"if-none-match": etag}, route()).status == 200


def test_row_when_changed_by_whoever_has_it_then_told_and_its_tag_guards_the_version(web: Any) -> None:
    etag = tag_of(web, {"version": 3})
    assert shape({"version": 3}, {b"if-none-match": etag}, route("PATCH")).status == 200
    assert version_of(etag.decode()) == 3


def test_page_when_there_is_more_then_cursor_and_link_that_keep_the_question(web: Any) -> None:
    page = Page([{"id": 1, "version": 1}], 1, "abc+/=")
    reply = shape(page, {}, route(), b"limit=1&cursor=old&q=%C3%A4%20b")
    assert web.told(reply)["meta"] == {"limit": 1, "next_cursor": "abc+/="}
    assert web.header(reply, b"link") == b'<?limit=1&q=%C3%A4+b&cursor=abc%2B%2F%3D>; rel="next"'
    assert web.header(reply, b"etag") is None


def test_page_when_it_is_the_last_then_no_link(web: Any) -> None:
    reply = shape(Page([], 20), {}, route())
    assert web.told(reply) == {"success": True, "data": [], "meta": {"limit": 20, "next_cursor": None}}
    assert web.header(reply, b"link") is None


def test_list_when_whole_then_meta_all_the_same(web: Any) -> None:
    assert web.told(shape([1, 2], {}, route()))["meta"] == {"limit": 2, "next_cursor": None}


def test_created_when_returned_then_201_with_location_below_the_base(web: Any) -> None:
    reply = shape(Created({"id": 1, "version": 1}, "/things/ä?x=1"), {}, route("POST", 201))
    assert (reply.status, web.header(reply, b"location")) == (201, b"/api/v1/things/%C3%A4?x=1")
    assert web.header(reply, b"etag").startswith(b'"1-')


def test_location_when_it_would_break_the_line_then_quoted(web: Any) -> None:
    reply = shape(Created({}, "/things/a\r\nset-cookie:x=1"), {}, route("POST", 201))
    assert web.header(reply, b"location") == b"/api/v1/things/a%0D%0Aset-cookie:x=1"


def test_accepted_when_returned_then_202(web: Any) -> None:
    reply = shape(Accepted({"job": 1}, "/jobs/1"), {}, route("POST", 202))
    assert (reply.status, web.header(reply, b"location")) == (202, b"/api/v1/jobs/1")
    assert web.header(shape(Accepted(None), {}, route()), b"location") is None


def test_nothing_when_returned_then_204_without_body(web: Any) -> None:
    reply = shape(None, {}, route("DELETE", 204))
    assert (reply.status, reply.body, web.header(reply, b"content-type")) == (204, b"", None)


def test_model_when_returned_then_its_fields(web: Any) -> None:
    class Shown(BaseModel):
        version: int = 2

    reply = shape(Shown(), {}, route())
    assert web.told(reply)["data"] == {"version": 2}
    assert web.header(reply, b"etag").startswith(b'"2-')


def test_answer_when_it_brings_headers_and_cookies_then_they_are_set(web: Any) -> None:
    answer = Answer({"a": 1}, 201, {"Location": "/me", "Cache-Control": "private"}, ("a=1; Path=/", "b=2"))
    reply = shape(answer, {}, route("POST"))
    assert (reply.status, web.header(reply, b"location")) == (201, b"/api/v1/me")
    assert web.header(reply, b"cache-control") == b"private"
    assert [value for name, value in reply.headers if name == b"set-cookie"] == [b"a=1; Path=/", b"b=2"]


def test_answer_when_a_cookie_would_break_the_line_then_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        shape(Answer({}, cookies=("a=1\r\nx: y",)), {}, route())


def test_answer_when_its_status_is_an_error_then_the_error_document(web: Any) -> None:
    with acting(Origin("r-1", origin().actor)):
        reply = shape(Answer({"parts": {}}, 503), {}, route())
    assert reply.status == 503
    assert web.told(reply) == {
        "success": False,
        "error": {
            "code": "UNAVAILABLE",
            "message": "A service behind this one is away; try again shortly.",
            "status": 503,
            "details": {"parts": {}},
            "request_id": "r-1",
        },
    }
    assert web.header(reply, b"retry-after") == b"1"


def test_answer_when_it_has_no_content_then_no_body() -> None:
    assert shape(Answer(None, 204), {}, route()).body == b""


async def pieces() -> AsyncIterator[bytes]:
    yield b"a"


def test_stream_when_returned_then_raw_with_its_own_headers(web: Any) -> None:
    whole = shape(Stream(b"a,b", "text/csv", headers={"Content-Disposition": 'attachment; filename="x"'}), {}, route())
    assert (whole.body, web.header(whole, b"content-type"), web.header(whole, b"content-length")) == (
        b"a,b",
        b"text/csv",
        b"3",
    )
    assert web.header(whole, b"content-disposition") == b'attachment; filename="x"'
    body = pieces()
    streamed = shape(Stream(body, "text/plain", 206, {"Cache-Control": "public"}), {}, route())
    assert (streamed.body, streamed.status, web.header(streamed, b"content-length")) == (body, 206, None)
    assert web.header(streamed, b"cache-control") == b"public"


def test_stream_when_served_then_a_browser_runs_nothing_of_it(web: Any) -> None:
    reply = shape(Stream(b"<script>", "text/html"), {}, route())
    assert web.header(reply, b"content-security-policy") == b"default-src 'none'; sandbox"
    own = shape(Stream(b"x", "text/html", headers={"Content-Security-Policy": "default-src 'self'"}), {}, route())
    assert web.header(own, b"content-security-policy") == b"default-src 'self'"


def test_anything_when_json_cannot_say_it_then_type_error() -> None:
    with pytest.raises(TypeError):
        shape({"a": object()}, {}, route())
