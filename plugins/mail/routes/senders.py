"""HTTP endpoints `/mail/senders` and `/mail/provider`: sender addresses and a tenant's own provider."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, StringConstraints, model_validator

from host.sdk import Accepted, Created, Page, Permission, Query, Routes, Row, TextForm, without_secrets

from ..addresses import AddressText, searched
from ..providers.catalogue import PROVIDERS
from ..service import own_provider, senders
from ..service.own_provider import ACCOUNTS, Chosen
from ..service.senders import CODES, SENDERS

routes = Routes()

_ADMINS, _ALL = ("admin",), ("admin", "member", "viewer")

PERMISSIONS = (
    Permission("mail.senders.create", "Add and confirm addresses to send from", _ADMINS),
    Permission("mail.senders.read", "See which addresses may be sent from", _ALL),
    Permission("mail.senders.delete", "Remove addresses to send from", _ADMINS),
    Permission("mail.provider.read", "See the organisation's own mail provider", _ADMINS),
    Permission("mail.provider.update", "Set, test and remove the organisation's own mail provider", _ADMINS),
)


class NewSender(BaseModel, extra="forbid"):
    address: AddressText


class Code(BaseModel, extra="forbid"):
    code: Annotated[str, StringConstraints(strip_whitespace=True), TextForm(r"[0-9]{6}", "the six digits mailed")]


@PROVIDERS.accounts
class OwnProvider(BaseModel, extra="forbid"):
    """Exactly one of the providers. Secrets are given each time, and never shown again."""

    @model_validator(mode="after")
    def _one_of_them(self) -> OwnProvider:
        if len(self._given()) != 1:
            *names, last = type(self).model_fields
            raise ValueError(f"Give exactly one of {', '.join(names)} and {last}.")
        return self

    def _given(self) -> dict[str, BaseModel]:
        return {name: account for name, account in self if account is not None}

    def chosen(self) -> Chosen:
        """The given provider, with its secrets separate from its settings."""
        [(provider, account)] = self._given().items()
        return Chosen(provider, *without_secrets(account))


class TestSend(BaseModel):
    """works: the provider would take mail, and took the message to `sent_to` where there is a confirmed sender."""

    works: bool
    problem: str
    sent_to: str | None


# -- senders ---------------------------------------------------------------------------------------------


@routes.get("/mail/senders", permission="mail.senders.read", name="senders.list", listing=SENDERS)
async def list_senders(query: Query) -> Page:
    """List the addresses to send from."""
    filters = {name: searched(text) for name, text in query.filters.items()}  # by address alone
    return await SENDERS.page(replace(query, filters=filters))


@routes.post("/mail/senders", permission="mail.senders.create", name="senders.create", returns=SENDERS, limits=(CODES,))
async def add_sender(body: NewSender) -> Created:
    """Add an address to send from; a code is mailed to it."""
    sender = await senders.add_sender(body.address)
    return Created(sender, f"/mail/senders/{sender['id']}")


@routes.get("/mail/senders/<uuid:sender_id>", permission="mail.senders.read", name="senders.get", returns=SENDERS)
async def get_sender(sender_id: UUID) -> Row:
    """Read an address to send from."""
    return await SENDERS.get(sender_id)


@routes.delete("/mail/senders/<uuid:sender_id>", permission="mail.senders.delete", name="senders.delete")
async def delete_sender(sender_id: UUID, if_match: int | None) -> None:
    """Remove an address to send from."""
    await senders.delete_sender(sender_id, version=if_match)


@routes.post(
    "/mail/senders/<uuid:sender_id>/confirm", permission="mail.senders.create", name="senders.confirm", returns=SENDERS
)
async def confirm_sender(sender_id: UUID, body: Code) -> Row:
    """Confirm an address with the code mailed to it."""
    return await senders.confirm_sender(sender_id, body.code)


@routes.post(
    "/mail/senders/<uuid:sender_id>/resend",
    permission="mail.senders.create",
    name="senders.resend",
    returns=SENDERS,
    limits=(CODES,),
)
async def resend_code(sender_id: UUID) -> Accepted:
    """Mail a new code to an address."""
    return Accepted(await senders.resend_code(sender_id), f"/mail/senders/{sender_id}")


# -- the tenant's own provider ---------------------------------------------------------------------------


@routes.get("/mail/provider", permission="mail.provider.read", name="provider.get", returns=ACCOUNTS)
async def get_provider() -> Row:
    """Read the organisation's own provider, without its secrets."""
    return await own_provider.read_provider()


@routes.put("/mail/provider", permission="mail.provider.update", name="provider.set", returns=ACCOUNTS)
async def set_provider(body: OwnProvider, if_match: int | None) -> Row | Created:
    """Send through a provider of your own."""
    provider, is_new = await own_provider.set_provider(body.chosen(), version=if_match)
    return Created(provider, "/mail/provider") if is_new else provider


@routes.delete("/mail/provider", permission="mail.provider.update", name="provider.delete")
async def delete_provider(if_match: int | None) -> None:
    """Send through the deployment's providers again."""
    await own_provider.delete_provider(version=if_match)


@routes.post(
    "/mail/provider/test",
    permission="mail.provider.update",
    name="provider.test",
    returns=TestSend,
    limits=("mail.rate",),
)
async def try_provider() -> dict[str, Any]:
    """Test the organisation's own provider, with a message to its confirmed sender."""
    return await own_provider.try_provider()
