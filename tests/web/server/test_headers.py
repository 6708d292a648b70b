from __future__ import annotations

from typing import Any

import pytest

from host.contracts import Download, Events, Route, Stream
from host.errors import ConfigurationError
from host.web.routes import Routes
from host.web.server.headers import HeaderRules, request_id_of

APP = b"https://app.example.com"


@pytest.mark.parametrize("sent", [b"a", b"x" * 128, b"01-aZ_.", b"0190163d-8694-739b-aea5-966c26f8ad91"])
def test_request_id_when_it_is_one_then_kept(sent: bytes) -> None:
    assert request_id_of(sent) == sent.decode()


@pytest.mark.parametrize("sent", [None, b"", b"x" * 129, b"a b", b"a\n", b"\xe9", b"<script>", b'a"', b"a\r\nb"])
def test_request_id_when_it_is_none_then_refused(sent: bytes | None) -> None:
    assert request_id_of(sent) is None


def names(rules: HeaderRules, **headers: bytes) -> dict[bytes, bytes]:
    pairs = rules.for_answer({name.replace("_", "-").encode(): value for name, value in headers.items()})
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_answer_when_nobody_may_cross_then_safety_only() -> None:
    found = names(HeaderRules(), origin=APP)
    assert found[b"x-content-type-options"] == b"nosniff"
    assert found[b"x-frame-options"] == b"DENY"
    assert not [name for name in found if name.startswith(b"access-control")]
    assert b"strict-transport-security" not in found
    assert b"strict-transport-security" in names(HeaderRules(public_url="https://api.example.com"))


def test_answer_when_origin_may_call_then_told_so_with_cookies() -> None:
    found = names(HeaderRules(["https://app.example.com"]), origin=APP)
    assert found[b"access-control-allow-origin"] == APP
    assert found[b"access-control-allow-credentials"] == b"true"
    assert b"ETag" in found[b"access-control-expose-headers"]
    assert found[b"vary"] == b"Origin"


@pytest.mark.parametrize(
    "origin", [b"https://evil.com", b"https://app.example.com.evil.com", b"null", b"http://app.example.com", b""]
)
def test_answer_when_origin_may_not_call_then_nothing_but_vary(origin: bytes) -> None:
    found = names(HeaderRules(["https://app.example.com"]), origin=origin)
    assert not [name for name in found if name.startswith(b"access-control")]
    assert found[b"vary"] == b"Origin"


def test_answer_when_any_origin_may_call_then_never_with_cookies() -> None:
    found = names(HeaderRules(["*"]), origin=b"https://anywhere.net")
    assert found[b"access-control-allow-origin"] == b"*"
    assert b"access-control-allow-credentials" not in found


def test_preflight_when_origin_may_call_then_methods_and_headers() -> None:
    found = names(HeaderRules(["https://app.example.com"], 60), origin=APP, access_control_request_method=b"PATCH")
    assert b"PATCH" in found[b"access-control-allow-methods"]
    assert b"Idempotency-Key" in found[b"access-control-allow-headers"]
    assert found[b"access-control-max-age"] == b"60"


@pytest.mark.parametrize("origin", ["app.example.com", "https://app.example.com/", "https://*.example.com", ""])
def test_rules_when_an_origin_is_none_then_start_stops(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cors\.origins"):
        HeaderRules([origin])


async def nothing() -> None: ...


def listed(*routes: Route) -> tuple[set[str], set[str]]:
    """What pages of another origin may send, and may read."""
    rules = HeaderRules(["https://app.example.com"], routes=routes)
    sent = names(rules, origin=APP, access_control_request_method=b"PATCH")[b"access-control-allow-headers"]
    read = names(rules, origin=APP)[b"access-control-expose-headers"]
    return set(sent.decode().split(", ")), set(read.decode().split(", "))


def route(returns: Any = None, **said: Any) -> Route:
    return Route("GET", "/x", nothing, "x", "X", public=True, returns=returns, **said)


def test_lists_when_routes_give_files_or_events_then_hold_what_those_take() -> None:
    sent, read = listed()
    assert {"Idempotency-Key", "If-Match", "X-Tenant"} <= sent
    assert {"ETag", "Idempotency-Replayed", "Retry-After"} <= read
    assert not {"Range", "If-Range", "Last-Event-ID"} & sent
    files = listed(route(Download))
    assert files[0] - sent == {"If-Modified-Since", "If-Range", "If-Unmodified-Since", "Range"}
    assert files[1] - read == {"Accept-Ranges", "Content-Disposition", "Content-Range"}
    assert listed(route(Events))[0] - sent == {"Last-Event-ID"}
    assert listed(route(Stream))[1] - read == {"Content-Disposition"}


def test_lists_when_routes_declare_headers_then_hold_each_once() -> None:
    sent, read = listed()
    tus = route(request_headers=("Upload-Offset", "Tus-Resumable"), response_headers=("Upload-Offset", "etag"))
    again = route(request_headers=("upload-offset", "IF-MATCH"))
    found = listed(tus, again)
    assert (found[0] - sent, found[1] - read) == ({"Upload-Offset", "Tus-Resumable"}, {"Upload-Offset"})


@pytest.mark.parametrize("name", ["", "*", "a b", "X:", "X\r\nY", "ü", "a,b", "-a"])
def test_route_when_it_declares_what_is_no_header_then_the_start_stops(name: str) -> None:
    for kind in ("request_headers", "response_headers"):
        with pytest.raises(ConfigurationError, match="no name of a header"):
            Routes().get("/x", name="x", summary="X", public=True, **{kind: (name,)})(nothing)  # type: ignore[misc]


def test_page_when_it_opens_a_socket_then_only_this_host_and_named_origins_may_with_cookies() -> None:
    host = {b"host": b"api.example.com"}
    strict = HeaderRules(["https://app.example.com"], public_url="https://public.example.com")
    open_to_all = HeaderRules(["*"])
    assert strict.lets_in(host) == "yes", "programs send no origin"
    for origin in (b"https://app.example.com", b"https://public.example.com", b"https://api.example.com"):
        assert strict.lets_in({**host, b"origin": origin}) == "yes"
    for origin in (b"https://evil.example", b"null", b"", b"https://app.example.com.evil.example"):
        assert strict.lets_in({**host, b"origin": origin}) == "no"
        assert open_to_all.lets_in({**host, b"origin": origin}) == "without cookies"
    assert strict.lets_in({b"origin": b"null"}) == "no"
