"""Mail provider `mailgun`: whole MIME messages through Mailgun's API, and its signed webhooks.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages-mime
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-types
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated

from pydantic import Field, SecretStr

from host.sdk import Webhook, WebhookCall

from ..outgoing import REFERENCE, Outgoing
from . import feedback
from .contract import Kind, ProviderUnavailable, Receipt, Refused, written
from .feedback import Feedback, Unwanted, part, text, unix_time
from .http_api import Api, document_of, said
from .spec import Account, ApiSettings, Domain, MailProvider, Password, Secret, Where

ENDPOINTS = MappingProxyType({"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"})
TAG_LENGTH = 128


class MailgunSettings(ApiSettings):
    api_key: SecretStr = SecretStr("")
    domain: Domain = Field(default="", description="The sending domain at Mailgun.")
    region: Where = "us"
    webhook_key: SecretStr = Field(
        default=SecretStr(""), description="The HTTP webhook signing key; empty: its webhooks are refused."
    )


class MailgunAccount(Account):
    api_key: Secret
    domain: Annotated[Domain, Field(min_length=1)]
    region: Where = "us"
    webhook_key: Password = SecretStr("")


class MailgunProvider:
    """Mailgun. It sends our message unchanged, with our Message-ID, which its `id` (our `provider_id`) repeats.
    Our reference comes back in events as the user variable `reference`. Its own tracking is switched off."""

    name = "mailgun"

    def __init__(self, settings: MailgunSettings) -> None:
        self._domain = settings.domain
        self._api = Api(
            self.name,
            settings.endpoint or ENDPOINTS[settings.region],
            timeout=settings.timeout,
            connections=settings.concurrency,
            auth=("api", settings.api_key.get_secret_value()),
        )

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """POST /v3/<domain>/messages.mime; 200 means queued."""
        PROVIDER.check(outgoing)
        options = {"o:tracking": "no"}
        if outgoing.category:
            options["o:tag"] = outgoing.category[:TAG_LENGTH]
        if outgoing.reference:
            options[f"v:{REFERENCE}"] = outgoing.reference
        answer = await self._api.post(
            f"/v3/{self._domain}/messages.mime",
            data={"to": ", ".join(outgoing.recipients), **options},
            files={"message": ("message.eml", written(outgoing), "message/rfc822")},
        )
        if not answer.is_success:
            raise self._refused(outgoing, said(answer), str(answer.status_code))
        return Receipt(self.name, str(document_of(answer).get("id", "")).strip("<>"))

    async def check(self) -> str | None:
        """POST an empty message: with a right key and domain the answer is 400, with wrong ones 401 or 404.

        Unlike reading the domain, this works with keys that may only send, too.
        """
        try:
            await self._api.post(f"/v3/{self._domain}/messages")
        except (Refused, ProviderUnavailable) as error:
            return str(error)
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    def _refused(self, outgoing: Outgoing, reason: str, code: str) -> Refused:
        """https://documentation.mailgun.com/docs/mailgun/quickstart-guide/responses"""
        about_address = "not a valid address" in reason and reason.startswith("to")
        kind: Kind = "address" if about_address else "content"
        # With one recipient it is clear who is meant.
        refused_emails = outgoing.recipients if about_address and len(outgoing.recipients) == 1 else ()
        recipients = {email: Refused(reason, permanent=True, kind="address", code=code) for email in refused_emails}
        return Refused(reason, permanent=True, kind=kind, code=code, recipients=recipients)


# -- its webhooks ----------------------------------------------------------------------------------------

_KINDS: Mapping[str, feedback.Kind] = {
    "delivered": "delivered",
    "failed": "bounced",
    "rejected": "bounced",
    "complained": "complained",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
}
# Reasons of a permanent failure that are about the address itself.
_FAILED: Mapping[str, Unwanted] = {
    "bounce": "bounce",
    "suppress-bounce": "bounce",
    "suppress-complaint": "complaint",
}


async def read(call: WebhookCall, signing_key: str, tolerance: timedelta) -> list[Feedback]:
    """Verify a call and return its event, or [] for kinds that are not followed.

    Mailgun signs only a time and a token, so whoever has seen one call could send another body with them. Therefore the
    token is used as the event's id: each token is recorded once.

    Raises:
        BadRequest: the signature is wrong, the time too far away, or the body is not JSON.
    """
    document = feedback.json_of(call.body)
    token = _verify(document, signing_key, tolerance)
    event = part(document, "event-data")
    name = text(part(event, "event"))
    kind, reference = _KINDS.get(name), text(part(event, "user-variables", REFERENCE), 2_000)
    if kind is None or not reference:
        return []
    if name == "failed" and part(event, "severity") == "temporary":
        kind = "deferred"
    told = Feedback(
        reference=reference,
        kind=kind,
        at=feedback.happened_at(unix_time(part(event, "timestamp"))),
        recipient=feedback.address(part(event, "recipient")),
        event=token,
        detail=_detail(event),
        suppress=_suppress(event, kind),
    )
    return [told]


def _verify(document: object, signing_key: str, tolerance: timedelta) -> str:
    """Verify the signature and return the token."""
    timestamp, token = part(document, "signature", "timestamp"), part(document, "signature", "token")
    signature, signed_at = part(document, "signature", "signature"), unix_time(timestamp)
    if not (isinstance(token, str) and isinstance(signature, str) and token and signed_at is not None):
        raise feedback.refused_signature()
    expected = hmac.new(signing_key.encode(), f"{timestamp}{token}".encode(), "sha256").hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise feedback.refused_signature()
    feedback.check_age(signed_at, tolerance)
    return feedback.event_id(token)


def _detail(event: object) -> str:
    status = part(event, "delivery-status")
    said = text(part(status, "message")) or text(part(status, "description")) or text(part(event, "reject", "reason"))
    return said or text(part(event, "reason")) or text(part(event, "url"))


def _suppress(event: object, kind: feedback.Kind) -> Unwanted | None:
    if kind == "complained":
        return "complaint"
    return _FAILED.get(text(part(event, "reason"))) if kind == "bounced" else None


PROVIDER = MailProvider(
    name="mailgun",
    title="Mailgun",
    settings=MailgunSettings,
    required=("api_key", "domain"),
    account=MailgunAccount,
    create=lambda settings, _: MailgunProvider(settings),
    most_recipients=1000,  # https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/batch-sending
    smtputf8=False,
    webhook=Webhook(lambda settings: settings.webhook_key.get_secret_value(), read),
)
