"""HTTP endpoints that receive the webhooks of SendGrid, Mailgun and Amazon SES."""

from __future__ import annotations

from typing import cast, get_args

from host.sdk import NotFound, Permission, RequestFacts, Routes, Row

from ..service.webhooks import receiving
from ..service.webhooks.feedback import MAX_BODY, Call
from ..service.webhooks.receiving import ProviderName

routes = Routes()

PERMISSIONS: tuple[Permission, ...] = ()


@routes.post(
    "/mail/webhooks/<provider>",
    public=True,
    needs_tenant=False,
    any_tenant_state=True,
    limit_class="signed",
    name="webhooks.receive",
    max_body=MAX_BODY,
)
async def receive(provider: str, request: RequestFacts) -> dict[str, int]:
    """Receive a webhook of the deployment's sendgrid, mailgun or ses account."""
    return {"events": await receiving.receive(_known(provider), await _call(request))}


@routes.post(
    "/mail/webhooks/<provider>/<token>",
    public=True,
    needs_tenant=False,
    any_tenant_state=True,
    limit_class="signed",
    name="webhooks.receive_own",
    max_body=MAX_BODY,
)
async def receive_own(provider: str, token: str, request: RequestFacts) -> dict[str, int]:
    """Receive a webhook of an organisation's own sendgrid, mailgun or ses account."""
    return {"events": await receiving.receive_own(_known(provider), token, await _call(request))}


@routes.get("/mail/webhooks", permission="mail.provider.read", name="webhooks.get")
async def own_webhook() -> Row:
    """Read the URL for the webhooks of your own provider."""
    provider, url = await receiving.own_address()
    return {"provider": provider, "url": url}


def _known(provider: str) -> ProviderName:
    if provider not in get_args(ProviderName):
        raise NotFound
    return cast(ProviderName, provider)


async def _call(request: RequestFacts) -> Call:
    return Call(await request.read(), request.headers)
