"""HTTP endpoints that receive the webhooks of mail providers."""

from __future__ import annotations

from host.sdk import Permission, RequestFacts, Routes, Row, WebhookCall

from ..providers.feedback import MAX_BODY
from ..service import webhooks

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
    return {"events": await webhooks.receive(provider, await _call(request))}


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
    return {"events": await webhooks.receive_own(provider, token, await _call(request))}


@routes.get("/mail/webhooks", permission="mail.provider.read", name="webhooks.get")
async def own_webhook() -> Row:
    """Read the URL for the webhooks of your own provider."""
    provider, url = await webhooks.own_address()
    return {"provider": provider, "url": url}


async def _call(request: RequestFacts) -> WebhookCall:
    return WebhookCall(await request.read(), request.headers)
