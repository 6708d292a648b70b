from __future__ import annotations

import pytest

from host.errors import ConfigurationError
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
    assert b"Last-Event-ID" in found[b"access-control-allow-headers"]
    assert found[b"access-control-max-age"] == b"60"


@pytest.mark.parametrize("origin", ["app.example.com", "https://app.example.com/", "https://*.example.com", ""])
def test_rules_when_an_origin_is_none_then_start_stops(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cors\.origins"):
        HeaderRules([origin])
