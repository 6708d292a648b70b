"""The interface that every mail provider implements, with its receipt and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal, Protocol

from ..outgoing import Outgoing, mime

Kind = Literal["address", "content", "provider"]


class Refused(Exception):
    """The provider refused the message.

    permanent: trying the same again would be refused again. kind: what is wrong, a recipient's `address`, the
    `content` (the message: its text, its size, its sender), or the `provider` (its key, account, settings, policy).
    code: the provider's own, such as "550 5.1.1" or "401". reason: a sentence for people, without secrets.
    recipients: the refusal of each recipient (`Address.email`) that was refused for a reason of its own.
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool,
        kind: Kind,
        code: str = "",
        recipients: Mapping[str, Refused] = MappingProxyType({}),
    ) -> None:
        super().__init__(reason)
        self.reason, self.permanent, self.kind, self.code = reason, permanent, kind, code
        self.recipients = recipients

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}" if self.code else self.reason


class ProviderUnavailable(Exception):
    """The provider could not be reached, or cannot take anything now; nothing is known to have been handed over.

    wait: how long it asks not to be called, if it said. tried: False when it was not even asked, since its circuit
    is open or its rate is used up: it does not count as an attempt. uncertain: it had the whole message, so it may have
    taken it: trying again may have it sent twice.
    """

    def __init__(
        self, reason: str, *, wait: timedelta | None = None, tried: bool = True, uncertain: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.wait, self.tried, self.uncertain = reason, wait, tried, uncertain


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a provider took a message; `provider_id` is its own id of the message, which its webhooks name.

    refused: recipients (`Address.email`) that were refused while others were taken; never all of them.
    """

    provider: str
    provider_id: str
    refused: Mapping[str, Refused] = field(default_factory=dict)


class Provider(Protocol):
    """A mail provider. Safe to use from many tasks of one event loop at once."""

    @property
    def name(self) -> str: ...

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Hand a message over to every recipient of it.

        Once a provider has said that it took a message, nothing raises any more: whatever happens then would have it
        sent twice.

        Raises:
            Refused: nothing was taken.
            ProviderUnavailable: it was not reached, or cannot take messages now.
        """
        ...

    async def check(self) -> str | None:
        """None when messages could be handed over now, else a sentence saying why not; sends none."""
        ...

    async def close(self) -> None:
        """Close the connections; delivering again opens new ones."""
        ...


def written(outgoing: Outgoing) -> bytes:
    """The message as MIME bytes, for providers that take whole messages.

    Raises:
        Refused: something in it cannot be written.
    """
    try:
        return mime(outgoing)
    except ValueError as error:
        raise Refused(str(error), permanent=True, kind="content") from None


def refuse_smtputf8(outgoing: Outgoing, provider: str) -> None:
    """Refuse a message with addresses that the provider, which takes ASCII addresses only, cannot deliver to.

    Raises:
        Refused: an address in it has other characters than ASCII before the @ (RFC 6531).
    """
    if not outgoing.needs_smtputf8:
        return
    refused_emails = [email for email in outgoing.recipients if not email.isascii()]
    reason = f"{provider} takes no address with other characters than ASCII before the @ (SMTPUTF8)"
    refusals = {email: Refused(reason, permanent=True, kind="address") for email in refused_emails}
    raise Refused(reason, permanent=True, kind="address" if refused_emails else "content", recipients=refusals)
