"""Send account mail: welcome, verification, password reset, invitation and security notices.

It is sent inside the event's own job. It has no message row and costs no quota: the links are secrets, and no plan
should keep people from signing in. If a killed worker sends it twice, both have the same Message-ID, made of the job's
id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import quote

from uuid_utils.compat import uuid7

from host.sdk import (
    GiveUp,
    Subscription,
    TenantMissing,
    absolute_url,
    cut_to_line,
    job_id,
    settings,
    tenant,
    without_links,
)

from ..addresses import parse_address
from ..outgoing import MACHINE_MADE, Outgoing
from ..providers.contract import Refused
from ..settings import Settings
from .dispatcher import close_dispatchers, deployment_dispatcher
from .hand_over import PRIORITY, hand_over
from .templates import Rendered, render, render_builtin

CATEGORY = "account"
_NAMES = frozenset({"name", "organisation", "key_name"})
"""Variables with text that other people wrote: links and line breaks are removed from them."""


class AccountEvent(Protocol):
    """The fields of host events that lead to account mail; those that a template names as well."""

    @property
    def email(self) -> str: ...


_MAILS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "host.UserRegistered": ("welcome", ("name",)),
    "host.EmailVerificationRequested": ("verification", ("name", "link", "hours")),
    "host.PasswordResetRequested": ("password_reset", ("name", "link", "minutes")),
    "host.PasswordChanged": ("password_changed", ("name",)),
    "host.RegistrationRepeated": ("registration_repeated", ("name",)),
    "host.EmailChanged": ("email_changed", ("name", "new_email")),
    "host.ApiKeyCreated": ("api_key_created", ("name", "key_name", "organisation")),
    "host.SignInLinked": ("sign_in_linked", ("name", "provider")),
    "host.SignInUnlinked": ("sign_in_unlinked", ("name", "provider")),
    "host.InvitationCreated": ("invitation", ("link", "organisation")),
}
"""Event -> the template of the mail to its `email`, and the template's variables, which are fields of the event."""


def _listener(template: str, names: tuple[str, ...]) -> Callable[[AccountEvent], Awaitable[None]]:
    async def send(event: AccountEvent) -> None:
        facts = {name: getattr(event, name) for name in names if hasattr(event, name)}
        if "organisation" in names:
            facts["organisation"] = (await tenant()).name
        if token := getattr(event, "token", ""):
            front_end = absolute_url("/").partition("/api/")[0]
            facts["link"] = f"{front_end}/accept-invitation?token={quote(token)}"
        life = timedelta(hours=facts.get("hours", 0), minutes=facts.get("minutes", 0)) or timedelta.max
        await _send(template, event.email, getattr(event, "locale", ""), within=life, **facts)

    send.__name__ = template  # the end of the job's name
    return send


LISTENERS = tuple(
    Subscription(event, _listener(template, names), PRIORITY) for event, (template, names) in _MAILS.items()
)


# -- health ----------------------------------------------------------------------------------------------


async def check() -> str | None:
    """Health check without network: None while one of the deployment's providers works, else what is wrong."""
    return await deployment_dispatcher().check()


async def ask() -> str | None:
    """Thorough health check: ask every provider; None when all would take mail, else what is wrong."""
    try:
        return await deployment_dispatcher().ask()
    finally:
        await close_dispatchers()


# -- sending ---------------------------------------------------------------------------------------------


async def _send(template: str, email: str, locale: str, *, within: timedelta = timedelta.max, **variables: Any) -> None:
    """Render in the reader's language and hand over. within: how long the mail is of use.

    Raises:
        GiveUp: the provider refused it permanently.
        TryAgain, Postpone: as `hand_over`.
    """
    shown = {key: without_links(cut_to_line(value)) if key in _NAMES else value for key, value in variables.items()}
    words, sender = await _rendered(template, shown, locale), settings(Settings).sender
    outgoing = Outgoing(
        message_id=f"<{job_id() or uuid7()}@{sender.email.rpartition('@')[2]}>",
        sender=sender,
        to=(parse_address(email),),
        subject=words.subject,
        text=words.text,
        html=words.html,
        headers=MACHINE_MADE,
        category=CATEGORY,
    )
    try:
        await hand_over(outgoing, within=within)
    except Refused as refused:
        raise GiveUp(f"the provider refused it: {refused}") from refused


async def _rendered(template: str, variables: dict[str, object], locale: str) -> Rendered:
    """Render the organisation's own version of the template where a tenant is bound, else the built-in one."""
    try:
        await tenant()
    except TenantMissing:
        return render_builtin(template, variables, locale)
    return await render(template, variables, locale=locale)
