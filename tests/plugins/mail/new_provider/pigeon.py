"""Mail provider `pigeon`: writes down what it carries; its webhook says who sent a pigeon back."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from pydantic import Field, SecretStr

from host.sdk import Webhook, WebhookCall, data_folder
from plugins.mail.outgoing import Outgoing
from plugins.mail.providers.contract import Receipt
from plugins.mail.providers.feedback import Feedback, refused_signature
from plugins.mail.providers.spec import Account, MailProvider, Pacing, Secret


class PigeonSettings(Pacing):
    ring: SecretStr = SecretStr("")
    loft: str = Field(default="", description="Name of the pigeon loft.")


class PigeonAccount(Account):
    ring: Secret
    loft: str


class PigeonProvider:
    name = "pigeon"

    def __init__(self, settings: PigeonSettings, folder: Path) -> None:
        self.loft, self.file = settings.loft, folder / "carried.txt"

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Write down one line for each message."""
        PROVIDER.check(outgoing)
        with self.file.open("a") as file:
            file.write(f"{self.loft} {outgoing.recipients[0]} {outgoing.reference}\n")
        return Receipt(self.name, outgoing.message_id)

    async def check(self) -> str | None:
        """Pigeons are always ready."""
        return None

    async def close(self) -> None:
        """Nothing is open."""


async def read(call: WebhookCall, ring: str, tolerance: timedelta) -> Sequence[Feedback]:
    """Read who sent a pigeon back."""
    if not hmac.compare_digest(call.headers.get("x-ring", ""), ring):
        raise refused_signature()
    back = orjson.loads(call.body)
    now = datetime.now(UTC)
    return [Feedback(back["reference"], "bounced", now, back["to"], back["id"], suppress="bounce")]


PROVIDER = MailProvider(
    name="pigeon",
    title="Pigeon",
    settings=PigeonSettings,
    required=("ring",),
    account=PigeonAccount,
    create=lambda settings, _: PigeonProvider(settings, data_folder()),
    most_recipients=1,
    webhook=Webhook(lambda settings: settings.ring.get_secret_value(), read),
)
