from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from host.contracts import Query
from host.errors import BadRequest, ValidationFailed
from host.web.handlers.querystring import listing_reader, model_reader, parse


class Asked(BaseModel):
    deep: bool = False
    count: int = Field(default=1, ge=0, le=10)
    ratio: float = 0.5
    owner: UUID | None = None
    colour: list[Literal["red", "blue"]] = []
    kind: str = Field(default="", alias="type")


class Listing:
    def parse(self, arguments: Mapping[str, str]) -> Query:
        if wrong := {name: "unknown" for name in arguments if name != "state"}:
            raise ValidationFailed(details=wrong)
        return Query(limit=7, filters=dict(arguments))


read = model_reader(Asked)


def test_query_when_right_then_text_becomes_types() -> None:
    asked = read(
        parse(b"deep=true&count=3&colour=red&colour=blue&type=a%20b&owner=0190163d-8694-739b-aea5-966c26f8ad91")
    )
    assert (asked.deep, asked.count, asked.colour, asked.kind) == (True, 3, ["red", "blue"], "a b")
    assert read(parse(b"")) == Asked()


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        (b"deep=perhaps", {"deep"}),
        (b"count=11", {"count"}),
        (b"count=1&count=2", {"count"}),
        (b"cuont=1", {"cuont"}),
        (b"ratio=nan", {"ratio"}),
        (b"ratio=-inf", {"ratio"}),
        (b"colour=red&colour=green", {"colour.1"}),
        (b"owner=me", {"owner"}),
        (b"type=%00", {"type"}),
    ],
)
def test_query_when_fields_are_wrong_then_each_is_named(query: bytes, paths: set[str]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        read(parse(query))
    assert set(refused.value.details) == paths


@pytest.mark.parametrize("query", [b"a=%ff", b"&".join(b"a%d=1" % number for number in range(101)), b"a=\xff"])
def test_query_when_unreadable_then_bad_request(query: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(query)


def test_list_when_nothing_is_asked_then_its_defaults() -> None:
    assert listing_reader(None)({}) == Query(limit=20)
    assert listing_reader(Listing())({}).limit == 7


def test_list_when_it_has_a_listing_then_that_decides() -> None:
    assert listing_reader(Listing())(parse(b"state=open")).filters == {"state": "open"}
    with pytest.raises(ValidationFailed) as refused:
        listing_reader(Listing())(parse(b"colour=red"))
    assert set(refused.value.details) == {"colour"}


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        (b"limit=0", {"limit"}),
        (b"limit=101", {"limit"}),
        (b"limit=-1", {"limit"}),
        (b"limit=", {"limit"}),
        (b"limit=%D9%A1", {"limit"}),
        (b"limit=1&limit=2", {"limit"}),
        (b"sort=name&limit=x", {"sort", "limit"}),
        (b"cursor=" + b"x" * 1001, {"cursor"}),
        (b"limit=" + b"9" * 900, {"limit"}),
    ],
)
def test_list_when_paging_is_wrong_then_each_field_is_named(query: bytes, paths: set[str]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        listing_reader(None)(parse(query))
    assert set(refused.value.details) == paths


def test_list_when_paging_is_right_then_read() -> None:
    assert listing_reader(None)(parse(b"limit=100&cursor=abc")) == Query(limit=100, cursor="abc")


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(alphabet="abcdeptyl=&%0123456789+;-", max_size=60).map(str.encode)))
def test_query_when_anything_at_all_then_read_or_an_error_of_the_api(query: bytes) -> None:
    for reader in (read, listing_reader(None)):
        try:
            reader(parse(query))
        except (BadRequest, ValidationFailed) as error:
            orjson.dumps(error.details)
