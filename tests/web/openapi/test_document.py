from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from host.contracts import Accepted, Created, Page, Query, Row, Stream
from host.data.records import Records
from host.web.openapi.document import Documents, document, pages
from host.web.openapi.schemas import filter_description
from host.web.routes import Routes
from tenants.models import Role

ROLES = Records(Role, fields=("name", "permissions", "built_in"), filters=("name", "built_in"), search=("name",))
routes = Routes()
others = Routes()


class Part(BaseModel):
    size: int


class NewThing(BaseModel):
    name: str
    parts: list[Part] = []
    due: datetime | None = None


class Asked(BaseModel):
    deep: bool = False


@routes.get("/things", name="things.list", summary="List", permission="things.read", listing=ROLES, returns=ROLES)
async def list_things(query: Query) -> Page:
    """Every thing there is."""
    raise NotImplementedError


@routes.post("/things", name="things.create", summary="Make", permission="things.create", limits=("things.things",))
async def create(body: NewThing) -> Created:
    raise NotImplementedError


@routes.patch("/things/<uuid:thing_id>", name="things.update", summary="Change", permission="p", returns=ROLES)
async def update(thing_id: UUID, body: NewThing, if_match: int | None) -> Row:
    raise NotImplementedError


@routes.get("/things/<uuid:thing_id>", name="things.read", summary="Read", signed_in=True, returns=ROLES)
async def read(thing_id: UUID, query: Asked) -> Row:
    raise NotImplementedError


@routes.delete("/things/<uuid:thing_id>", name="things.delete", summary="Delete", operator=True)
async def delete(thing_id: UUID) -> None:
    raise NotImplementedError


@routes.get(
    "/things/<int:number>/file",
    name="things.file",
    summary="File",
    public=True,
    needs_tenant=False,
    any_tenant_state=True,
    returns=Stream,
)
async def file(number: int) -> Stream:
    raise NotImplementedError


@others.post("/others", name="things.create", summary="Make another", signed_in=True, needs_tenant=False)
async def create_other(body: NewThing) -> Accepted:
    raise NotImplementedError


@others.get("/others", name="others.list", summary="Others", signed_in=True, needs_tenant=False)
async def list_others() -> list[Part]:
    raise NotImplementedError


PAIRS = [*(("alpha", route) for route in routes), *(("beta", route) for route in others)]


@pytest.fixture
def described() -> dict[str, Any]:
    return document(PAIRS, version="1", tags={"alpha": "Alpha"})


def find(described: dict[str, Any], operation_id: str) -> dict[str, Any]:
    for methods in described["paths"].values():
        for operation in methods.values():
            if operation["operationId"] == operation_id:
                found: dict[str, Any] = operation
                return found
    raise AssertionError(operation_id)


async def test_document_when_checked_then_it_is_openapi_3_1(described: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(described).validate()
    assert described["openapi"].startswith("3.1")


async def test_operation_when_described_then_it_says_who_may_call_it(described: dict[str, Any]) -> None:
    listing = find(described, "alpha.things.list")
    assert (listing["x-permission"], listing["x-plugin"], listing["description"]) == (
        "things.read",
        "alpha",
        "Every thing there is.",
    )
    assert find(described, "alpha.things.read")["x-signed-in"] is True
    assert find(described, "alpha.things.delete")["x-operator"] is True
    public = find(described, "alpha.things.file")
    assert (public["x-public"], public["x-any-tenant-state"], public["security"]) == (True, True, [])
    assert "x-any-tenant-state" not in listing
    assert find(described, "alpha.things.create")["x-limits"] == ["things.things"]


async def test_operation_when_it_lists_then_filters_sorts_and_page(described: dict[str, Any]) -> None:
    listing = find(described, "alpha.things.list")
    asked = {each["name"]: each["schema"] for each in listing["parameters"] if "name" in each}
    assert set(asked) == {"limit", "cursor", "sort", "search", "name", "built_in"}
    assert asked["sort"]["enum"] == ["created_at", "-created_at"]
    assert asked["built_in"] == {"type": "boolean"}
    schema = listing["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["success", "data", "meta"]
    assert schema["properties"]["data"]["items"] == {"$ref": "#/components/schemas/alpha.Role"}
    row = described["components"]["schemas"]["alpha.Role"]
    assert list(row["properties"]) == ["id", "version", "name", "permissions", "built_in"]


async def test_operation_when_it_may_answer_in_several_ways_then_all_are_there(described: dict[str, Any]) -> None:
    routes = Routes()

    @routes.put("/things/<name>", name="things.set", summary="Set", public=True, refusals=(413,))
    async def put_thing(name: str) -> Row | Created: ...

    @routes.get("/report", name="report.read", summary="Report", public=True, returns=Stream)
    async def report() -> Row | Stream: ...

    described = document([("alpha", route) for route in routes], version="1")
    OpenAPIV31SpecValidator(described).validate()
    answers = find(described, "alpha.things.set")["responses"]
    assert {"200", "201", "413", "422"} <= answers.keys()
    assert "Location" in answers["201"]["headers"]
    assert "headers" not in answers["200"]
    content = find(described, "alpha.report.read")["responses"]["200"]["content"]
    assert content.keys() == {"*/*", "application/json"}


async def test_operation_when_it_changes_then_body_precondition_and_errors(described: dict[str, Any]) -> None:
    update = find(described, "alpha.things.update")
    assert update["parameters"][0] == {
        "name": "thing_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    }
    assert {"$ref": "#/components/parameters/IfMatch"} in update["parameters"]
    assert set(update["responses"]) >= {
        "200",
        "400",
        "401",
        "403",
        "404",
        "409",
        "412",
        "413",
        "415",
        "422",
        "429",
        "503",
    }
    assert "ETag" in update["responses"]["200"]["headers"]
    body = described["components"]["schemas"]["alpha.NewThing"]
    assert (body["additionalProperties"], body["required"]) == (False, ["name"])


async def test_operation_when_created_or_deleted_then_status_and_headers(described: dict[str, Any]) -> None:
    created = find(described, "alpha.things.create")
    assert "Location" in created["responses"]["201"]["headers"]
    assert {"$ref": "#/components/parameters/IdempotencyKey"} in created["parameters"]
    assert "content" not in find(described, "alpha.things.delete")["responses"]["204"]
    assert "202" in find(described, "beta.things.create")["responses"]
    assert {"$ref": "#/components/parameters/Tenant"} not in find(described, "beta.others.list").get("parameters", [])


async def test_schemas_when_two_plugins_use_one_name_then_each_has_its_own(described: dict[str, Any]) -> None:
    assert {"alpha.NewThing", "beta.NewThing", "alpha.Part", "beta.PartAnswer"} <= set(
        described["components"]["schemas"]
    )


async def test_document_when_only_some_plugins_are_on_then_theirs_only() -> None:
    shown = document(PAIRS, version="1", plugins={"beta"})
    assert set(shown["paths"]) == {"/others"}
    assert {tag["name"].partition(".")[0] for tag in shown["tags"]} == {"beta"}


async def test_document_when_read_by_a_newcomer_then_it_says_how_to_sign_in_and_what_lists_take(
    described: dict[str, Any],
) -> None:
    assert "Authorization: Bearer" in described["info"]["description"]
    assert "alpha.things" in [tag["name"] for tag in described["tags"]]
    listed = find(described, "alpha.things.list")["parameters"]
    asked = {each["name"]: each["description"] for each in listed if each.get("in") == "query"}
    assert {"limit", "cursor", "sort"} <= set(asked)
    assert all(asked.values())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("from", "Only rows whose `created_at` is this or after it. A date means its first moment in UTC."),
        ("to", "Only rows whose `created_at` is before this. A date means its first moment in UTC."),
        ("name", "Only rows whose `name` is this; `*` stands for any text."),
        ("names", "Only rows whose `name` is this, or one of these with commas between them."),
        ("built_in", "Only rows with this `built_in`."),
    ],
)
def test_filter_when_documented_then_says_what_it_compares(name: str, said: str) -> None:
    filters = {"from": "created_at:gte", "to": "created_at:lt", "name": "pattern", "names": "name:in"}
    assert filter_description(Records(Role, filters=filters | {"built_in": "exact"}), name) == said


async def test_root_when_asked_then_it_points_to_the_documentation(web: Any) -> None:
    reply = await pages((), ())["/"](web.request(), {})
    assert (reply.status, web.told(reply)["data"]["docs"]) == (200, "/api/docs")


def test_document_when_two_routes_share_a_name_then_refused() -> None:
    with pytest.raises(ValueError, match=r"beta\.others\.list"):
        document([("beta", others[1]), ("beta", others[1])], version="1")


SERVED = (("host", others[1]), *PAIRS[:6])


async def test_pages_when_asked_then_document_for_whom_it_is(web: Any) -> None:
    asked: list[Any] = [None]

    async def active_for(request: Any) -> Any:
        return asked[0]

    served = pages(SERVED, (), active_for)
    whole = await served["/api/v1/openapi.json"](web.request(), {})
    assert set(web.told(whole)["paths"]) > {"/others", "/things"}
    assert web.header(whole, b"vary") == b"X-Tenant"
    asked[0] = frozenset()
    mine = await served["/api/v1/openapi.json"](web.request(), {})
    assert set(web.told(mine)["paths"]) == {"/others"}
    assert web.told(await served["/api/v1/postman.json"](web.request(), {}))["info"]["name"] == "Tenantry"


async def test_documents_when_asked_again_then_made_once() -> None:
    documents = Documents(SERVED, ())
    assert documents.encoded("openapi") is documents.encoded("openapi")
    for number in range(100):
        documents.encoded("openapi", {f"plugin{number}"})
    assert len(documents._kept) <= 64
