"""Receive a provider's webhook call and record its events in the tenants they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress as ignoring
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from host.sdk import (
    NotFound,
    Row,
    WebhookCall,
    absolute_url,
    open_token,
    settings,
    sign_token,
    tenant,
    tenant_settings,
    unit_of_work,
)

from ..models import Happening, Message
from ..models.senders import ProviderAccount
from ..models.subscriptions import Source
from ..models.suppressions import Reason
from ..providers.catalogue import PROVIDERS
from ..providers.feedback import Feedback
from ..providers.spec import Pacing
from ..settings import Settings, TenantSettings
from . import subscriptions
from .dispatcher import own_settings
from .suppressions import Unwanted, suppress_all
from .timeline import COUNTED, FEEDBACK, Happened, happened
from .tracking import MOST_COUNTED

OWN = "webhook"
"""The purpose of the signed tokens in the URLs of tenants' own webhooks."""


async def own_address() -> tuple[str, str]:
    """The bound tenant's own provider, and the URL to send its webhooks to.

    Raises:
        NotFound: the tenant has none, or one that sends no webhooks.
    """
    account = await ProviderAccount.first()
    if account is None or PROVIDERS[account.provider].webhook is None:
        raise NotFound("This organisation has no provider of its own that sends webhooks.")
    token = sign_token(OWN, provider=account.provider)
    return account.provider, absolute_url(f"/mail/webhooks/{account.provider}/{token}")


async def receive(provider: str, call: WebhookCall) -> int:
    """Record a call of the deployment's account; returns how many events were new, once they are stored.

    Raises:
        NotFound: there is no such provider, or this deployment has no key for its webhooks.
        BadRequest: signature, time or body is wrong.
        PayloadTooLarge: it contains too many events.
        Unavailable: Amazon could not be reached.
    """
    return await _write_down(provider, await _read(provider, call, getattr(settings(Settings), provider, None)))


async def receive_own(provider: str, token: str, call: WebhookCall) -> int:
    """Record a call of a tenant's own account, only for that tenant's messages; raises as `receive`."""
    async with open_token(token, OWN, any_tenant_state=True) as claims:
        account = await ProviderAccount.first()
        if claims["provider"] != provider or account is None or account.provider != provider:
            raise NotFound
        owner, own = (await tenant()).id, own_settings(account)
    return await _write_down(provider, await _read(provider, call, own), owner)


async def _read(provider: str, call: WebhookCall, section: Pacing | None) -> Sequence[Feedback]:
    spec = PROVIDERS.get(provider)
    if spec is None or spec.webhook is None or section is None or not (key := spec.webhook.key(section)):
        raise NotFound
    return await spec.webhook.read(call, key, timedelta(seconds=settings(Settings).webhook_tolerance))


# -- recording -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Entry:
    """An event with the id of its message, which may not exist."""

    message_id: UUID
    feedback: Feedback


async def _write_down(provider: str, feedback: Sequence[Feedback], only: UUID | None = None) -> int:
    """Record events in their tenants (or `only` in this one), in one unit of work for each."""
    tenants: dict[UUID, list[_Entry]] = {}
    for reference, about in _by_reference(feedback).items():
        with ignoring(NotFound, ValueError, KeyError):  # an unknown or outdated token
            async with open_token(reference, FEEDBACK, any_tenant_state=True) as claims:
                tenant_id, message_id = (await tenant()).id, UUID(claims["message"])
            if only in {None, tenant_id}:
                tenants.setdefault(tenant_id, []).extend(_Entry(message_id, each) for each in about)
    new = 0
    for entries in tenants.values():
        async with open_token(entries[0].feedback.reference, FEEDBACK, any_tenant_state=True):
            new += await _write_down_here(provider, entries)
    return new


def _by_reference(feedback: Sequence[Feedback]) -> dict[str, list[Feedback]]:
    grouped: dict[str, list[Feedback]] = {}
    for event in feedback:
        grouped.setdefault(event.reference, []).append(event)
    return grouped


async def _write_down_here(provider: str, entries: Sequence[_Entry]) -> int:
    """Record events in the bound tenant, and update its suppressions and subscriptions."""
    chosen = await tenant_settings(TenantSettings)
    tracked = {"opened": chosen.track_opens, "clicked": chosen.track_clicks}
    async with unit_of_work():
        ids = list({each.message_id for each in entries})
        rows = await Message.filter(id__in=ids).values("id", "category", "bulk", "opens", "clicks", "recipients")
        messages: dict[object, Row] = {row["id"]: row for row in rows}
        wanted = [each for each in entries if tracked.get(each.feedback.kind, True)]
        by_event = {each.feedback.event: await _corrected(each, messages) for each in wanted}
        events = [_happened(provider, each) for each in by_event.values() if _counts(each, messages)]
        fresh = [by_event[event.provider_event or ""] for event in await happened(events)]
        await _suppress(fresh)
        await _unsubscribe(fresh, messages)
    return len(fresh)


async def _corrected(entry: _Entry, messages: dict[object, Row]) -> _Entry:
    """The event, without an address that the message was not sent to, or that was erased since.

    A bounce that may be an automatic answer is one if the message was delivered before.
    """
    feedback, message = entry.feedback, messages.get(entry.message_id)
    recipients = message["recipients"].lower().split("\n") if message is not None else []
    if feedback.recipient and feedback.recipient not in recipients:
        return replace(entry, feedback=replace(feedback, recipient="", detail=""))
    delivered = Happening.filter(message_id=entry.message_id, kind="delivered", recipient=feedback.recipient)
    if feedback.perhaps_answer and await delivered.exists():
        return replace(entry, feedback=replace(feedback, kind="answered"))
    return entry


def _counts(entry: _Entry, messages: dict[object, Row]) -> bool:
    """Whether the message exists, and its opens or clicks are still counted."""
    message, column = messages.get(entry.message_id), COUNTED.get(entry.feedback.kind)
    return message is not None and (column is None or message[column] < MOST_COUNTED)


def _happened(provider: str, entry: _Entry) -> Happened:
    feedback = entry.feedback
    return Happened(
        message_id=entry.message_id,
        kind=feedback.kind,
        at=feedback.at,
        recipient=feedback.recipient,
        detail=feedback.detail,
        provider=provider,
        provider_event=feedback.event,
    )


async def _suppress(entries: Sequence[_Entry]) -> None:
    unwanted = [
        Unwanted(each.feedback.recipient, Reason(each.feedback.suppress), each.feedback.detail, each.message_id)
        for each in entries
        if each.feedback.suppress is not None and each.feedback.recipient
    ]
    await suppress_all(unwanted)


async def _unsubscribe(entries: Sequence[_Entry], messages: dict[object, Row]) -> None:
    for entry in entries:
        message = messages[entry.message_id]
        ended = entry.feedback.kind == "unsubscribed" and entry.feedback.recipient != "" and message["bulk"]
        if ended and await subscriptions.can_end(message["category"]):
            await subscriptions.choose(entry.feedback.recipient, {message["category"]: False}, Source.PROVIDER)
