from __future__ import annotations

import pytest

from host.contracts import Route, Stream
from host.errors import NotAcceptable
from host.web.responses.content_negotiation import check_accept, wants_problem


async def handler() -> None:
    raise NotImplementedError


JSON = Route("GET", "/x", handler, "x", "x", public=True)
RAW = Route("GET", "/x", handler, "x", "x", public=True, returns=Stream)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        b"*/*",
        b"application/json",
        b"application/*",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        b"application/problem+json",
        b"APPLICATION/JSON; charset=utf-8",
        b"",
        b"nonsense",
    ],
)
def test_accept_when_it_holds_json_then_let_through(accept: bytes | None) -> None:
    check_accept(accept, JSON)


@pytest.mark.parametrize("accept", [b"text/html", b"application/xml", b"application/json;q=0", b"*/json;q=x, text/*"])
def test_accept_when_it_holds_no_json_then_not_acceptable_before_anything_is_done(accept: bytes) -> None:
    with pytest.raises(NotAcceptable):
        check_accept(accept, JSON)
    check_accept(accept, RAW)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, False),
        (b"*/*", False),
        (b"application/json", False),
        (b"application/problem+json", True),
        (b"application/json, application/problem+json", True),
        (b"application/json, application/problem+json;q=0.5", False),
        (b"application/problem+json;q=0", False),
    ],
)
def test_problem_document_when_named_and_liked_then_wanted(accept: bytes | None, wanted: bool) -> None:
    assert wants_problem(accept) is wanted
