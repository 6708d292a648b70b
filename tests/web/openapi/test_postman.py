from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from host.contracts import Created
from host.web.openapi.document import document
from host.web.openapi.postman import collection
from host.web.routes import Routes


class Owner(BaseModel):
    name: str


class NewThing(BaseModel):
    title: str
    count: int = 3
    owner: Owner
    colour: str | None


async def create(body: NewThing, thing_id: int) -> Created:
    raise NotImplementedError


async def ping() -> str:
    raise NotImplementedError


def made() -> dict[str, Any]:
    routes = Routes()
    routes.post("/things/<int:thing_id>/copies", name="copies.create", summary="Copy", permission="p")(create)
    routes.get("/ping", name="ping", summary="Ping", public=True, needs_tenant=False)(ping)
    return collection(document([("things", route) for route in routes], version="1"))


def test_collection_when_made_then_a_folder_of_requests_with_variables() -> None:
    whole = made()
    assert whole["info"]["schema"].endswith("/v2.1.0/collection.json")
    (folder,) = whole["item"]
    copy, ping_request = (item["request"] for item in folder["item"])
    assert copy["url"]["raw"] == "{{base_url}}/things/:thing_id/copies"
    assert copy["url"]["variable"] == [{"key": "thing_id", "value": ""}]
    assert {"key": "X-Tenant", "value": "{{tenant}}"} in copy["header"]
    assert copy["body"]["raw"] == '{"title":"","count":3,"owner":{"name":""},"colour":""}'
    assert ping_request["auth"] == {"type": "noauth"}
    assert "body" not in ping_request
    assert {variable["key"] for variable in whole["variable"]} == {"base_url", "token", "tenant"}
