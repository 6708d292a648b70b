"""The record that declares one mail provider, and the settings that all of them have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from host.sdk import Duration, ProviderSpec, Rate, SettingsT, TextForm, Webhook

from ..outgoing import Outgoing
from .contract import Provider, Refused, refuse_smtputf8
from .feedback import Feedback

Domain = Annotated[str, TextForm(r"(?:[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*)?", "a domain like mail.example.com")]
Where = Literal["us", "eu"]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=2000)]
Password = Annotated[SecretStr, Field(max_length=2000)]


class Section(BaseModel):
    """Base of all sections of the settings: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pacing(Section):
    """Concurrency and rate limit of a provider; each process applies them by itself."""

    concurrency: int = Field(
        default=10, ge=1, le=1000, description="Messages handed over at the same time, per process; default 10."
    )
    rate: Rate = Field(
        default="unlimited",
        validate_default=True,
        description='Messages per period and process, such as "14/second"; default unlimited.',
    )

    @property
    def interval(self) -> float:
        """Seconds between two messages; 0 when unlimited."""
        return self.rate.seconds / self.rate.amount if self.rate.amount and self.rate.seconds else 0.0


class ApiSettings(Pacing):
    """What providers with a web API have in common."""

    endpoint: str = Field(default="", description="Base URL of the API; empty: the provider's own for the region.")
    timeout: Duration = Field(default=30.0, le=300, description="Seconds the API may take for each answer; default 30.")


class Account(BaseModel, extra="forbid"):
    """Base of what organisations give for an account of their own."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a provider is made for.

    sender_domain: the domain of account mail's sender. own: the account is an organisation's, not the deployment's.
    public_only: its servers have to be on the public internet.
    """

    sender_domain: str
    own: bool = False
    public_only: bool = False


async def _nothing_wrong(account: Mapping[str, Any]) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, kw_only=True)
class MailProvider(ProviderSpec[SettingsT]):
    """A mail provider.

    title: its name for people. create: makes it; the libraries it needs are imported only then. delivers: False for one
    that does not send mail to anybody. most_recipients: of one message; None: any number. smtputf8: whether it takes
    addresses beyond ASCII before the @ (RFC 6531). webhook: how it tells what became of messages. check_account: what
    keeps an organisation from using that account of its own, by field.
    """

    title: str
    create: Callable[[SettingsT, Setup], Provider]
    delivers: bool = True
    most_recipients: int | None = None
    smtputf8: bool = True
    webhook: Webhook[SettingsT, Any, Feedback] | None = None
    check_account: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, str]]] = _nothing_wrong

    def check(self, outgoing: Outgoing) -> None:
        """Raise Refused when the message is beyond what this provider takes."""
        if not self.smtputf8:
            refuse_smtputf8(outgoing, self.title)
        if self.most_recipients is not None and len(outgoing.recipients) > self.most_recipients:
            reason = f"{self.title} takes {self.most_recipients} recipients at most"
            raise Refused(reason, permanent=True, kind="content")
