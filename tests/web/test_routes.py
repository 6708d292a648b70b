from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from host.contracts import Accepted, Created, Limit, Page, Permission, Query
from host.errors import ConfigurationError
from host.web.routes import Routes, split_docstring

if TYPE_CHECKING:
    from uuid import UUID as OnlyForTypes


class Body(BaseModel):
    name: str


class Asked(BaseModel):
    deep: bool = False


async def create(body: Body) -> Created:
    raise NotImplementedError


async def start(query: Asked) -> Accepted:
    raise NotImplementedError


async def remove() -> None:
    raise NotImplementedError


async def page(query: Query) -> dict[str, Any]:
    raise NotImplementedError


async def unreadable(thing: OnlyForTypes) -> None:
    raise NotImplementedError


def test_route_when_declared_then_types_and_status_come_from_the_handler() -> None:
    routes = Routes()
    routes.post("/things", name="things.create", summary="Make", permission="things.things.create")(create)
    routes.post("/things/start", name="things.start", summary="Start", signed_in=True)(start)
    routes.delete("/things/<uuid:id>", name="things.delete", summary="Delete", permission="p")(remove)
    routes.get("/things", name="things.list", summary="List", permission="p")(page)
    assert [(route.method, route.status) for route in routes] == [
        ("POST", 201),
        ("POST", 202),
        ("DELETE", 204),
        ("GET", 200),
    ]
    assert routes[0].body is Body
    assert routes[1].query is Asked
    assert routes[3].query is None
    assert (len(routes), routes[0].permission, routes[1].signed_in) == (4, "things.things.create", True)


def test_route_when_status_is_given_then_it_wins() -> None:
    routes = Routes()
    routes.post("/login", name="login", summary="Sign in", public=True, status=200)(create)
    assert routes[0].status == 200


@pytest.mark.parametrize("path", ["things", "/api/v1/things"])
def test_route_when_path_is_not_below_the_base_then_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="must begin with"):
        Routes().get(path, name="things.list", summary="List", public=True)(page)


def test_route_when_annotation_cannot_be_read_then_error_names_handler_and_remedy() -> None:
    with pytest.raises(ConfigurationError, match=r"things\.bad.*unreadable.*TYPE_CHECKING"):
        Routes().get("/things", name="things.bad", summary="Bad", public=True)(unreadable)


async def documented(query: Query) -> Page:
    """List the things,
    the newest first. Those of others are not shown.

    Archived ones are.
    """
    raise NotImplementedError


async def asking() -> None:
    """Is it up? Who knows."""


async def without_full_stop() -> None:
    """Delete e.g. a thing or two"""


@pytest.mark.parametrize(
    ("handler", "sentence", "rest"),
    [
        (documented, "List the things, the newest first", "Those of others are not shown.\n\nArchived ones are."),
        (asking, "Is it up?", "Who knows."),
        (without_full_stop, "Delete e.g. a thing or two", ""),
        (page, "", ""),
    ],
)
def test_docstring_when_split_then_first_sentence_and_rest(handler: Any, sentence: str, rest: str) -> None:
    assert split_docstring(handler) == (sentence, rest)


def test_route_when_listing_is_returned_then_summary_and_shape_are_read_from_the_handler() -> None:
    rows, routes = object(), Routes()
    routes.get("/things", name="things.list", public=True, listing=rows)(documented)
    assert (routes[0].summary, routes[0].returns) == ("List the things, the newest first", rows)
    routes.get("/own", name="own.list", public=True, listing=rows, returns=Body, summary="Mine")(documented)
    assert (routes[1].summary, routes[1].returns) == ("Mine", Body)
    routes.get("/other", name="other.list", public=True, listing=rows, summary="Not a page of it")(page)
    assert routes[2].returns is None


def test_route_when_neither_summary_nor_docstring_then_error_names_handler_and_remedy() -> None:
    with pytest.raises(ConfigurationError, match=r"things\.list: page in .* has no docstring"):
        Routes().get("/things", name="things.list", public=True)(page)


def test_route_when_permission_and_limit_are_declared_with_it_then_named_and_handed_over() -> None:
    read, many, routes = Permission("things.things.read", "See"), Limit("things.things", "quota", "Many"), Routes()
    routes.get("/things", name="things.list", permission=read, limits=(many, "things.bytes"))(documented)
    routes.get("/more", name="more.list", permission="things.things.read")(documented)
    assert [(route.permission, route.limits, route.declares) for route in routes] == [
        ("things.things.read", ("things.things", "things.bytes"), (read, many)),
        ("things.things.read", (), ()),
    ]
