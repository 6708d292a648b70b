"""Receive a provider's webhook call and record its events in the tenants they belong to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress as ignoring
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, get_args
from uuid import UUID

from host.sdk import (
    NotFound,
    Row,
    absolute_url,
    app_singleton,
    decrypt,
    open_token,
    settings,
    sign_token,
    tenant,
    tenant_settings,
    unit_of_work,
)

from ...models import Happening, Message
from ...models.senders import ProviderAccount
from ...models.subscriptions import Source
from ...models.suppressions import Reason
from ...settings import Settings, TenantSettings
from .. import subscriptions
from ..suppressions import Unwanted, suppress_all
from ..timeline import COUNTED, FEEDBACK, Happened, happened
from ..tracking import MOST_COUNTED
from . import mailgun, sendgrid, ses, sns
from .feedback import Call, Feedback

ProviderName = Literal["sendgrid", "mailgun", "ses"]

OWN = "webhook"
"""The purpose of the signed tokens in the URLs of tenants' own webhooks."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What verifies an account's calls: SendGrid's public key, Mailgun's signing key, or topics of Amazon SNS."""

    key: str = ""
    topics: frozenset[str] = frozenset()


async def own_address() -> tuple[str, str]:
    """The bound tenant's own provider, and the URL to send its webhooks to.

    Raises:
        NotFound: the tenant has none, or one that sends no webhooks.
    """
    account = await ProviderAccount.first()
    if account is None or account.provider not in get_args(ProviderName):
        raise NotFound("This organisation has no provider of its own that sends webhooks.")
    token = sign_token(OWN, provider=account.provider)
    return account.provider, absolute_url(f"/mail/webhooks/{account.provider}/{token}")


async def receive(provider: ProviderName, call: Call) -> int:
    """Record a call of the deployment's account; returns how many events were new, once they are stored.

    Raises:
        NotFound: this deployment has no key for that provider's webhooks.
        BadRequest: signature, time or body is wrong.
        PayloadTooLarge: it contains too many events.
        Unavailable: Amazon could not be reached.
    """
    configured = settings(Settings)
    keys = {
        "sendgrid": Keys(key=configured.sendgrid.webhook_key),
        "mailgun": Keys(key=configured.mailgun.webhook_key.get_secret_value()),
        "ses": Keys(topics=frozenset(configured.ses.topics)),
    }
    return await _write_down(provider, await _read(provider, call, keys[provider]))


async def receive_own(provider: ProviderName, token: str, call: Call) -> int:
    """Record a call of a tenant's own account, only for that tenant's messages; raises as `receive`."""
    async with open_token(token, OWN, any_tenant_state=True) as claims:
        if claims["provider"] != provider:
            raise NotFound
        owner, keys = (await tenant()).id, await _own_keys(provider)
    return await _write_down(provider, await _read(provider, call, keys), owner)


async def _own_keys(provider: ProviderName) -> Keys:
    """The keys of the bound tenant's own account; empty where it has none with that provider."""
    account = await ProviderAccount.first()
    if account is None or account.provider != provider:
        return Keys()
    try:
        values = account.settings | json.loads(decrypt(account.secrets))
    except ValueError:  # the deployment's secret has changed: the tenant has to set its provider again
        return Keys()
    return Keys(key=str(values.get("webhook_key", "")), topics=frozenset(values.get("topics", ())))


async def _read(provider: ProviderName, call: Call, keys: Keys) -> list[Feedback]:
    if not (keys.key or keys.topics):
        raise NotFound
    tolerance = timedelta(seconds=settings(Settings).webhook_tolerance)
    if provider == "sendgrid":
        return sendgrid.read(call, keys.key, tolerance)
    if provider == "mailgun":
        return mailgun.read(call, keys.key, tolerance)
    return await ses.read(call, keys.topics, tolerance, app_singleton(sns.Certificates), sns.fetch)


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
