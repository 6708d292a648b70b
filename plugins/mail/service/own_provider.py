"""Set, read, delete and test a tenant's own mail provider; its secrets are stored encrypted."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from host.sdk import NotFound, Records, Row, ValidationFailed, actor, allow, encrypt, settings, unit_of_work

from ..addresses import Address
from ..models.senders import ProviderAccount, Sender
from ..outgoing import MACHINE_MADE, Outgoing
from ..providers.catalogue import PROVIDERS
from ..providers.contract import ProviderUnavailable, Refused
from ..settings import Settings
from .dispatcher import own_dispatcher

TRIAL_SECONDS = 45.0
"""Seconds that testing a provider may take, below the time-out of a request."""

ACCOUNTS = Records(
    ProviderAccount, fields=("id", "provider", "settings", "created_by", "version", "created_at", "updated_at")
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A tenant's own provider: its name, its settings that may be shown, and its secrets."""

    provider: str
    settings: dict[str, Any]
    secrets: dict[str, str]


async def read_provider() -> Row:
    """The tenant's own provider, without its secrets.

    Raises:
        NotFound: it has none; its mail is sent through the deployment's.
    """
    row = await ACCOUNTS.find()
    if row is None:
        raise NotFound("This organisation has no provider of its own.")
    return row


async def set_provider(chosen: Chosen, *, version: int | None = None) -> tuple[Row, bool]:
    """Send the tenant's mail through its own provider from now on; returns the row, and whether it had none before.

    Raises:
        ValidationFailed: its server is not on the public internet, or its port is not one of mail servers.
        PreconditionFailed: `version` is no longer the provider's.
    """
    if not settings(Settings).allow_private_hosts:
        wrong = await PROVIDERS[chosen.provider].check_account(chosen.settings)
        if wrong:
            raise ValidationFailed(details={f"{chosen.provider}.{key}": reason for key, reason in wrong.items()})
    values = {"provider": chosen.provider, "settings": chosen.settings, "secrets": encrypt(json.dumps(chosen.secrets))}
    shown = {"provider": chosen.provider, "settings": chosen.settings}
    async with unit_of_work() as work:
        existing = await ACCOUNTS.find()
        if existing is None:
            row = await ACCOUNTS.insert(**values, created_by=actor().user_id)
        else:
            row = (await ACCOUNTS.change(existing["id"], values, version=version)).after
        before = None if existing is None else {name: existing[name] for name in shown}
        work.record("mail.provider.update", "provider", row["id"], before=before, after=shown)
    return row, existing is None


async def delete_provider(*, version: int | None = None) -> None:
    """Send the tenant's mail through the deployment's providers again.

    Raises:
        NotFound: it has none of its own.
        PreconditionFailed: `version` is no longer the provider's.
    """
    async with unit_of_work() as work:
        row = await read_provider()
        await ACCOUNTS.remove(row["id"], version=version)
        before = {name: row[name] for name in ("provider", "settings")}
        work.record("mail.provider.delete", "provider", row["id"], before=before)


async def try_provider() -> dict[str, Any]:
    """Ask the tenant's own provider whether it would take mail, and hand it one message, from the tenant's first
    confirmed sender to that same address: `{"works": bool, "problem": str, "sent_to": str | None}`.

    Raises:
        NotFound: it has none of its own.
        RateLimited: the plan's rate of messages is used up.
    """
    account = await ProviderAccount.first()
    if account is None:
        raise NotFound("This organisation has no provider of its own.")
    await allow("mail.rate")
    sender = await Sender.filter(confirmed_at__isnull=False).order_by("confirmed_at", "id").first()
    dispatcher = own_dispatcher(account)  # separate from the one in use, whose circuit a test must not open
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            problem = await dispatcher.ask()
            if problem is None and sender is not None:
                await dispatcher.deliver(_trial(Address(sender.name, sender.email)))
    except (Refused, ProviderUnavailable) as error:
        problem = str(error)
    except TimeoutError:
        problem = f"no answer within {TRIAL_SECONDS:g} seconds"
    finally:
        await dispatcher.close()
    sent_to = sender.email if sender is not None and problem is None else None
    return {"works": problem is None, "problem": problem or "", "sent_to": sent_to}


def _trial(address: Address) -> Outgoing:
    return Outgoing(
        message_id=f"<{uuid4()}@{address.email.rpartition('@')[2]}>",
        sender=address,
        to=(address,),
        subject="Your mail provider works",
        text=f"This message left through your own mail provider at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.\n",
        headers=MACHINE_MADE,
        category="trial",
    )
