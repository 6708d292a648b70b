"""HTTP endpoints `/mail/suppressions`: list, add and remove addresses that get no mail."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints, model_validator

from host.sdk import Created, Page, Permission, Query, Routes, Row

from ..service import suppressions
from ..service.suppressions import SUPPRESSIONS

routes = Routes()

PERMISSIONS = (
    Permission("mail.suppressions.read", "See which addresses get no mail", ("admin", "member", "viewer")),
    Permission("mail.suppressions.create", "Add addresses that get no mail", ("admin", "member")),
    Permission("mail.suppressions.delete", "Let addresses get mail again", ("admin",)),
)

Written = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=320)]
Detail = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


class NewSuppressions(BaseModel, extra="forbid"):
    """Either one `address`, or up to 1,000 `addresses`."""

    address: Written | None = None
    addresses: Annotated[list[Written], Field(min_length=1, max_length=1_000)] | None = None
    detail: Detail = ""

    @model_validator(mode="after")
    def _one_of_them(self) -> NewSuppressions:
        if (self.address is None) == (self.addresses is None):
            raise ValueError("Give either `address` or `addresses`.")
        return self


class Which(BaseModel, extra="forbid"):
    address: Written


@routes.get("/mail/suppressions", permission="mail.suppressions.read", name="suppressions.list", listing=SUPPRESSIONS)
async def list_suppressions(query: Query) -> Page:
    """List the addresses that get no mail."""
    return await SUPPRESSIONS.page(query)


@routes.post("/mail/suppressions", permission="mail.suppressions.create", name="suppressions.create")
async def create_suppressions(body: NewSuppressions) -> Created | Row:
    """Suppress an address, or up to 1,000."""
    if body.addresses is not None:
        added = await suppressions.add_all(body.addresses, body.detail)
        return {"added": added, "known": len(body.addresses) - added}
    row, is_new = await suppressions.add(body.address or "", body.detail)
    return Created(row, f"/mail/suppressions/{row['id']}") if is_new else row


@routes.get(
    "/mail/suppressions/<uuid:suppression_id>",
    permission="mail.suppressions.read",
    name="suppressions.get",
    returns=SUPPRESSIONS,
)
async def get_suppression(suppression_id: UUID) -> Row:
    """Read why an address gets no mail."""
    return await SUPPRESSIONS.get(suppression_id)


@routes.delete(
    "/mail/suppressions/<uuid:suppression_id>", permission="mail.suppressions.delete", name="suppressions.delete"
)
async def delete_suppression(suppression_id: UUID) -> None:
    """Let an address get mail again."""
    await suppressions.remove(suppression_id)


@routes.delete("/mail/suppressions", permission="mail.suppressions.delete", name="suppressions.delete_address")
async def delete_address(query: Which) -> None:
    """Let an address get mail again, by the address."""
    await suppressions.remove_address(query.address)
