"""Send account mail: welcome, verification, password reset, invitation and security notices.

It is sent inside the event's own job. It has no message row and costs no quota: the links are secrets, and no plan
should keep people from signing in. If a killed worker sends it twice, both have the same Message-ID, made of the job's
id.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import quote

from uuid_utils.compat import uuid7

from host.sdk import GiveUp, TenantMissing, absolute_url, cut_to_line, job_id, settings, tenant, without_links

from ..addresses import parse_address
from ..outgoing import MACHINE_MADE, Outgoing
from ..providers.contract import Refused
from ..settings import Settings
from .dispatcher import close_dispatchers, deployment_dispatcher
from .hand_over import hand_over
from .templates import Rendered, render, render_builtin

CATEGORY = "account"
_NAMES = frozenset({"name", "organisation", "key_name"})
"""Variables with text that other people wrote: links and line breaks are removed from them."""


class Person(Protocol):
    """The fields of host events about a person."""

    @property
    def email(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def locale(self) -> str: ...


class Verification(Person, Protocol):
    @property
    def link(self) -> str: ...
    @property
    def hours(self) -> int: ...


class Reset(Person, Protocol):
    @property
    def link(self) -> str: ...
    @property
    def minutes(self) -> int: ...


class AddressChange(Person, Protocol):
    @property
    def new_email(self) -> str: ...


class NewKey(Person, Protocol):
    @property
    def key_name(self) -> str: ...


class SignIn(Person, Protocol):
    @property
    def provider(self) -> str: ...


class Invitation(Protocol):
    @property
    def email(self) -> str: ...
    @property
    def token(self) -> str: ...


# -- listeners of host events ----------------------------------------------------------------------------


async def welcome(event: Person) -> None:
    """Greet a person who has registered."""
    await _send("welcome", event.email, event.locale, name=event.name)


async def verification(event: Verification) -> None:
    """Send the link that proves an address."""
    facts = {"name": event.name, "link": event.link, "hours": event.hours}
    await _send("verification", event.email, event.locale, within=timedelta(hours=event.hours), **facts)


async def password_reset(event: Reset) -> None:
    """Send the link to a new password."""
    facts = {"name": event.name, "link": event.link, "minutes": event.minutes}
    await _send("password_reset", event.email, event.locale, within=timedelta(minutes=event.minutes), **facts)


async def password_changed(event: Person) -> None:
    """Tell the owner of an account that its password was replaced."""
    await _send("password_changed", event.email, event.locale, name=event.name)


async def registration_repeated(event: Person) -> None:
    """Tell the owner of an account that somebody tried to register with their address."""
    await _send("registration_repeated", event.email, event.locale, name=event.name)


async def email_changed(event: AddressChange) -> None:
    """Tell the old mailbox that the account has another address now."""
    await _send("email_changed", event.email, event.locale, name=event.name, new_email=event.new_email)


async def api_key_created(event: NewKey) -> None:
    """Tell a person that an API key was created in their name."""
    organisation = (await tenant()).name
    await _send(
        "api_key_created",
        event.email,
        event.locale,
        name=event.name,
        key_name=event.key_name,
        organisation=organisation,
    )


async def sign_in_linked(event: SignIn) -> None:
    """Tell a person that a sign-in provider was linked to their account."""
    await _send("sign_in_linked", event.email, event.locale, name=event.name, provider=event.provider)


async def sign_in_unlinked(event: SignIn) -> None:
    """Tell a person that a sign-in provider was unlinked from their account."""
    await _send("sign_in_unlinked", event.email, event.locale, name=event.name, provider=event.provider)


async def invitation(event: Invitation) -> None:
    """Invite somebody to the organisation of the event."""
    front_end = absolute_url("/").partition("/api/")[0]
    link = f"{front_end}/accept-invitation?token={quote(event.token)}"
    await _send("invitation", event.email, "", link=link, organisation=(await tenant()).name)


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
