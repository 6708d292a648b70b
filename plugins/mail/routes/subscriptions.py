"""HTTP endpoints to unsubscribe by page or one click, and to read and set mail preferences."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Annotated
from urllib.parse import parse_qs

from pydantic import BaseModel, Field

from host.sdk import (
    BadRequest,
    Permission,
    RequestFacts,
    Routes,
    Row,
    Stream,
    accepted_locales,
    member_locale,
    open_token,
    tenant,
)

from ..models.subscriptions import EVERYTHING, Source
from ..service import subscriptions
from ..service.subscriptions import PASS, PATH
from ..service.templates import library
from ..settings import Category
from . import unsubscribe_page

routes = Routes()

PERMISSIONS = (
    Permission("mail.subscriptions.read", "See which mail an address gets", ("admin", "member", "viewer")),
    Permission("mail.subscriptions.update", "Change which mail an address gets", ("admin",)),
)

_MAX_FORM = 4 * 1024


class Preferences(BaseModel, extra="forbid"):
    """Only what is given changes; `everything` is applied first and to all categories."""

    everything: bool | None = None
    categories: Annotated[dict[Category, bool], Field(max_length=100)] = {}


# -- for people and their mail programs ------------------------------------------------------------------


@routes.get(
    PATH + "<token>",
    public=True,
    needs_tenant=False,
    any_tenant_state=True,
    limit_class="signed",
    name="subscriptions.page",
    returns=Stream,
)
async def show_page(token: str, request: RequestFacts) -> Stream:
    """Show the unsubscribe page; reading it changes nothing."""
    async with open_token(token, PASS, any_tenant_state=True) as claims:
        return await _page(claims["address"], claims["category"], request, done=False)


@routes.post(
    PATH + "<token>",
    public=True,
    needs_tenant=False,
    any_tenant_state=True,
    limit_class="signed",
    name="subscriptions.unsubscribe",
    max_body=_MAX_FORM,
    returns=Stream,
    refusals=(400, 413),
)
async def answer_page(token: str, request: RequestFacts) -> Stream:
    """Unsubscribe, with one click (RFC 8058) or from the page."""
    form = _form(request.headers.get("content-type", ""), await request.read())
    async with open_token(token, PASS, any_tenant_state=True) as claims:
        address, category = claims["address"], claims["category"]
        if form.get("List-Unsubscribe") == "One-Click":
            await subscriptions.choose(address, {category: False}, Source.ONE_CLICK)
        else:
            choices = {"category": {category: False}, "everything": {EVERYTHING: False}, "again": {category: True}}
            choice = choices.get(form.get("choice", ""))
            if choice is None:
                raise BadRequest(
                    "Post List-Unsubscribe=One-Click, or choice=category, choice=everything or choice=again."
                )
            await subscriptions.choose(address, choice, Source.PAGE)
        return await _page(address, category, request, done=True)


async def _page(address: str, category: str, request: RequestFacts, *, done: bool) -> Stream:
    accepted = accepted_locales(request.headers.get("accept-language", ""))
    html = unsubscribe_page.page(
        language=library().unsubscribe_page(*accepted, await member_locale(address) or ""),
        tenant=(await tenant()).name,
        address=address,
        category=category,
        subscribed=await subscriptions.wants(address, category),
        can_end=await subscriptions.can_end(category),
        done=done,
    )
    return Stream(html, "text/html; charset=utf-8", headers=unsubscribe_page.HEADERS)


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form, in either of the encodings that RFC 8058 section 3.2 allows.

    Raises:
        BadRequest: it is neither.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            fields = parse_qs(body.decode(), max_num_fields=20)
            return {name: values[0] for name, values in fields.items()}
        if kind == "multipart/form-data":
            head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
            parts = BytesParser(policy=HTTP).parsebytes(head + body)
            return {_name(part): _value(part) for part in parts.iter_parts()}
    except (ValueError, LookupError):
        raise BadRequest("The form could not be read.") from None
    raise BadRequest("Send a form: application/x-www-form-urlencoded or multipart/form-data.")


def _name(part: Message) -> str:
    return str(part.get_param("name", "", "content-disposition"))


def _value(part: Message) -> str:
    content = part.get_payload(decode=True)
    return content.decode("latin-1").strip() if isinstance(content, bytes) else ""


# -- for the tenant --------------------------------------------------------------------------------------


@routes.get("/mail/subscriptions/<address>", permission="mail.subscriptions.read", name="subscriptions.get")
async def get_subscriptions(address: str) -> Row:
    """Read which categories an address gets, and since when."""
    return await subscriptions.preferences(address)


@routes.put("/mail/subscriptions/<address>", permission="mail.subscriptions.update", name="subscriptions.set")
async def set_subscriptions(address: str, body: Preferences) -> Row:
    """Change which categories an address gets."""
    choices = dict(body.categories) | ({} if body.everything is None else {EVERYTHING: body.everything})
    await subscriptions.choose(address, choices, Source.SETTINGS)
    return await subscriptions.preferences(address)
