"""What every provider promises: a message handed over, refused, or not reached; one contract test holds them to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal, Protocol

from ..outgoing import Outgoing, mime

Kind = Literal["address", "content", "provider"]


class Refused(Exception):
    """The provider answered no.

    permanent: the same again would be refused again. kind: what is wrong, a recipient's `address`, the `content` (the
    message: what it says, its size, its sender), or the `provider` (its key, its account, its settings, its mood).
    code: the provider's own, such as "550 5.1.1" or "401". reason: a sentence for people, without secrets.
    recipients: where each recipient (`Address.email`) was refused for a reason of its own, that one.
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

    wait: how long it asks to be left alone, if it said. tried: False when it was not even asked, since its circuit
    is open or its rate is used up: no try of the message's own. uncertain: it had the whole message, so it may have
    taken it: trying again may have it sent twice.
    """

    def __init__(
        self, reason: str, *, wait: timedelta | None = None, tried: bool = True, uncertain: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.wait, self.tried, self.uncertain = reason, wait, tried, uncertain


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message handed over: `provider_id` is the provider's own id of it, which its webhooks name.

    refused: recipients (`Address.email`) that were refused while others were taken; never all of them.
    """

    provider: str
    provider_id: str
    refused: Mapping[str, Refused] = field(default_factory=dict)


class Provider(Protocol):
    """One way out. Safe to use from many tasks of one event loop at once."""

    @property
    def name(self) -> str: ...

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Hand a message over to every recipient of it.

        Once a provider has said that it took a message, nothing raises any more: whatever happens then would have it
        sent twice.

        Raises:
            Refused: nothing was taken.
            Away: it was not reached, or cannot now.
        """
        ...

    async def check(self) -> str | None:
        """None when messages could be handed over now, else a sentence saying why not; sends none."""
        ...

    async def close(self) -> None:
        """Close what is open; delivering again opens it anew."""
        ...


def written(outgoing: Outgoing) -> bytes:
    """The message as bytes, for providers that take it so.

    Raises:
        Refused: something in it cannot be written.
    """
    try:
        return mime(outgoing)
    except ValueError as error:
        raise Refused(str(error), permanent=True, kind="content") from None


def refuse_smtputf8(outgoing: Outgoing, provider: str) -> None:
    """For providers that take ASCII addresses only.

    Raises:
        Refused: an address in it leaves ASCII before the @ (RFC 6531).
    """
    if not outgoing.needs_smtputf8:
        return
    theirs = [email for email in outgoing.recipients if not email.isascii()]
    reason = f"{provider} takes no address that leaves ASCII before the @ (SMTPUTF8)"
    each = {email: Refused(reason, permanent=True, kind="address") for email in theirs}
    raise Refused(reason, permanent=True, kind="address" if theirs else "content", recipients=each)
