"""`/tenant/api-keys` endpoints: list, create and revoke API keys, whose secret is shown only once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from host.api.roles import refuse_unknown
from host.contracts import Actor, Created, Page, Query, Row
from host.identity.api_keys import KEYS, make_key, revoke_key
from host.input_types import Instant, Name
from host.membership.people import refuse_beyond_own
from host.web.routes import Routes

routes = Routes()


class NewKey(BaseModel):
    """A key's name, its permissions and its expiry; without `expires_at` it works until it is ended."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    permissions: Annotated[list[str], Field(min_length=1, max_length=1000)]
    expires_at: Instant | None = None


class Key(BaseModel):
    """A key without its secret. `expired`: no longer works, and does not count against the plan's limit."""

    id: UUID
    name: str
    prefix: str
    permissions: list[str]
    made_by: UUID | None
    expires_at: datetime | None
    expired: bool
    last_used_at: datetime | None
    created_at: datetime


class MadeKey(Key):
    """A new key with its full text, which is shown only in this answer."""

    key: str


@routes.get("/tenant/api-keys", name="api_keys.list", permission="tenant.api_keys.read", listing=KEYS, returns=Key)
async def list_keys(query: Query) -> Page:
    """API keys.

    The organisation's keys that were not ended, expired ones included; secrets are never shown.
    """
    page = await KEYS.page(query, revoked_at=None)
    return Page([_shape(row) for row in page.items], page.limit, page.next_cursor)


@routes.post(
    "/tenant/api-keys",
    name="api_keys.create",
    permission="tenant.api_keys.create",
    returns=MadeKey,
    limits=("tenant.api_keys",),
)
async def create_key(body: NewKey, actor: Actor) -> Created:
    """Make an API key.

    Create a key with permissions that its maker holds; `key` is shown in this answer and never again.
    """
    refuse_unknown(body.permissions)
    refuse_beyond_own(body.permissions, False)
    row, text = await make_key(
        name=body.name, permissions=body.permissions, expires_at=body.expires_at, made_by=actor.user_id
    )
    return Created(_shape(row) | {"key": text}, f"/tenant/api-keys/{row['id']}")


@routes.delete("/tenant/api-keys/<uuid:key_id>", name="api_keys.delete", permission="tenant.api_keys.delete")
async def delete_key(key_id: UUID) -> None:
    """End a key: it stops working at once."""
    await revoke_key(key_id)


def _shape(key: Row) -> Row:
    return key | {"expired": key["expires_at"] is not None and key["expires_at"] <= datetime.now(UTC)}
