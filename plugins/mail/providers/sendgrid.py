"""Mail provider `sendgrid`: Twilio SendGrid's Mail Send API, and its signed Event Webhook.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from host.sdk import BadRequest, Webhook, WebhookCall

from ..addresses import Address
from ..outgoing import REFERENCE, Outgoing, check, header_value
from . import feedback
from .contract import Kind, Receipt, Refused
from .feedback import Feedback, Unwanted, part, text, unix_time
from .http_api import Api, document_of, said
from .spec import Account, ApiSettings, MailProvider, Secret, Where

if TYPE_CHECKING:
    import httpx

ENDPOINTS = MappingProxyType({"us": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"})
_RECIPIENT = re.compile(r"personalizations\.(\d+)\.(to|cc|bcc)\.(\d+)")


def _public_key(value: str) -> str:
    if value:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        try:
            usable = isinstance(load_der_public_key(base64.b64decode(value, validate=True)), EllipticCurvePublicKey)
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("give the verification key as SendGrid shows it: one line that begins with MFkw")
    return value


PublicKey = Annotated[str, AfterValidator(_public_key), Field(max_length=500)]


class SendGridSettings(ApiSettings):
    api_key: SecretStr = SecretStr("")
    region: Where = "us"
    webhook_key: PublicKey = Field(
        default="", description="Public key of the signed event webhook; empty: its webhooks are refused."
    )


class SendGridAccount(Account):
    """A SendGrid account; `webhook_key` is the public key of its signed event webhook, for delivery reports."""

    api_key: Secret
    region: Where = "us"
    webhook_key: PublicKey = ""


class SendGridProvider:
    """SendGrid. It builds the message from its parts, with our Message-ID; `provider_id` is its X-Message-Id, with
    which the `sg_message_id` of its events begins. Our reference comes back in events as the custom argument
    `reference`. Its own tracking is switched off: the tenant decides about tracking, not the account."""

    name = "sendgrid"

    def __init__(self, settings: SendGridSettings) -> None:
        self._api = Api(
            self.name,
            settings.endpoint or ENDPOINTS[settings.region],
            timeout=settings.timeout,
            connections=settings.concurrency,
            headers={"Authorization": f"Bearer {settings.api_key.get_secret_value()}"},
        )

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """POST /v3/mail/send; 202 means taken."""
        PROVIDER.check(outgoing)
        try:
            check(outgoing)
        except ValueError as error:
            raise Refused(str(error), permanent=True, kind="content") from None
        content = _content(outgoing)
        answer = await self._api.post("/v3/mail/send", json=content)
        if not answer.is_success:
            raise _refused(answer, content)
        return Receipt(self.name, answer.headers.get("X-Message-Id", ""))

    async def check(self) -> str | None:
        """GET /v3/scopes: whether the key may send mail."""
        try:
            answer = await self._api.get("/v3/scopes")
        except Exception as error:
            return str(error)
        scopes = document_of(answer).get("scopes")
        return None if isinstance(scopes, list) and "mail.send" in scopes else "the SendGrid key may not send mail"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()


def _content(outgoing: Outgoing) -> dict[str, Any]:
    content: dict[str, Any] = {
        "personalizations": list(_personalizations(outgoing)),
        "from": _mailbox(outgoing.sender),
        "subject": outgoing.subject,
        "content": [
            {"type": f"text/{subtype}", "value": text}
            for subtype, text in (("plain", outgoing.text), ("html", outgoing.html))
            if text
        ],
        # Message-ID is not one of the reserved headers: https://github.com/anymail/django-anymail/issues/108
        "headers": {
            "Message-ID": outgoing.message_id,
            **{name: header_value(value) for name, value in outgoing.headers},
        },
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
        },
    }
    if outgoing.reply_to:
        content["reply_to_list"] = _mailboxes(outgoing.reply_to)
    if outgoing.category:
        content["categories"] = [outgoing.category]
    if outgoing.reference:
        content["custom_args"] = {REFERENCE: outgoing.reference}
    if outgoing.attachments:
        content["attachments"] = [
            {
                "content": base64.b64encode(attached.content).decode(),
                "type": attached.content_type,
                "filename": attached.filename,
                "disposition": "attachment",
            }
            for attached in outgoing.attachments
        ]
    return content


def _personalizations(outgoing: Outgoing) -> Iterator[dict[str, Any]]:
    """One envelope; without a recipient in To, one for each of the others, since SendGrid requires a To.

    An address may be in an envelope only once.
    """
    groups: dict[str, list[Address]] = {"to": [], "cc": [], "bcc": []}
    seen: set[str] = set()
    for kind, addresses in (("to", outgoing.to), ("cc", outgoing.cc), ("bcc", outgoing.bcc)):
        for address in addresses:
            if address.key not in seen:
                seen.add(address.key)
                groups[kind].append(address)
    if groups["to"]:
        yield {kind: _mailboxes(addresses) for kind, addresses in groups.items() if addresses}
    else:
        for address in (*groups["cc"], *groups["bcc"]):
            yield {"to": [_mailbox(address)]}


def _mailboxes(addresses: Sequence[Address]) -> list[dict[str, str]]:
    return [_mailbox(address) for address in addresses]


def _mailbox(address: Address) -> dict[str, str]:
    # Names of recipients cannot have ; or , in them: https://docs.sendgrid.com/api-reference/mail-send/limitations
    name = re.sub(r"\s*[,;]\s*", " ", address.name).strip()
    return {"email": address.email, "name": name} if name else {"email": address.email}


def _refused(answer: httpx.Response, content: dict[str, Any]) -> Refused:
    """A 400 or 413: https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses"""
    code, errors = str(answer.status_code), document_of(answer).get("errors")
    recipients: dict[str, Refused] = {}
    for error in errors if isinstance(errors, list) else ():
        match = _RECIPIENT.match(str(error.get("field"))) if isinstance(error, dict) else None
        if match:
            try:
                email = content["personalizations"][int(match[1])][match[2]][int(match[3])]["email"]
            except (KeyError, IndexError):
                continue
            recipients[email] = Refused(str(error.get("message"))[:500], permanent=True, kind="address", code=code)
    kind: Kind = "address" if recipients else "content"
    return Refused(said(answer), permanent=True, kind=kind, code=code, recipients=recipients)


# -- its webhooks ----------------------------------------------------------------------------------------

SIGNATURE, TIMESTAMP = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"

_KINDS: Mapping[str, feedback.Kind] = {
    "delivered": "delivered",
    "deferred": "deferred",
    "bounce": "bounced",
    "dropped": "bounced",
    "spamreport": "complained",
    "open": "opened",
    "click": "clicked",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}
# Reasons for which SendGrid did not even try, where they are about the address itself.
_DROPPED: Mapping[str, Unwanted] = {
    "bounced address": "bounce",
    "invalid": "bounce",
    "spam reporting address": "complaint",
}


async def read(call: WebhookCall, public_key: str, tolerance: timedelta) -> list[Feedback]:
    """Verify a call and return its events.

    public_key: the verification key of the Event Webhook, base64 of a DER SubjectPublicKeyInfo, as SendGrid shows it.

    Raises:
        BadRequest: the signature is wrong, the time too far away, or the body is not a list of events.
        PayloadTooLarge: there are too many events.
    """
    _verify(call, public_key, tolerance)
    events = feedback.json_of(call.body)
    if not isinstance(events, list):
        raise BadRequest("SendGrid sends a list of events.")
    feedback.check_number(events)
    return [event for each in events if (event := _feedback(each)) is not None]


def _verify(call: WebhookCall, public_key: str, tolerance: timedelta) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    timestamp = call.headers.get(TIMESTAMP, "")
    signed_at = unix_time(timestamp)
    key = load_der_public_key(base64.b64decode(public_key))
    if signed_at is None or not isinstance(key, EllipticCurvePublicKey):
        raise feedback.refused_signature()
    try:
        signature = base64.b64decode(call.headers.get(SIGNATURE, ""), validate=True)
        key.verify(signature, timestamp.encode() + call.body, ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        raise feedback.refused_signature() from None
    feedback.check_age(signed_at, tolerance)


def _feedback(event: object) -> Feedback | None:
    name = text(part(event, "event"))
    kind, known_as = _KINDS.get(name), feedback.event_id(part(event, "sg_event_id"))
    reference = text(part(event, REFERENCE), 2_000)  # custom arguments are fields of the event
    if kind is None or not (reference and known_as):
        return None
    return Feedback(
        reference=reference,
        kind=kind,
        at=feedback.happened_at(unix_time(part(event, "timestamp"))),
        recipient=feedback.address(part(event, "email")),
        event=known_as,
        detail=_detail(event, name),
        suppress=_suppress(event, name),
    )


def _detail(event: object, name: str) -> str:
    said = text(part(event, "reason")) or text(part(event, "response")) or text(part(event, "url"))
    return f"dropped: {said}"[:500] if name == "dropped" else said


def _suppress(event: object, name: str) -> Unwanted | None:
    if name == "spamreport":
        return "complaint"
    if name == "dropped":
        return _DROPPED.get(text(part(event, "reason")).lower())
    # A block (type "blocked") is temporary; only a bounce says that the address does not exist.
    return "bounce" if name == "bounce" and part(event, "type") == "bounce" else None


PROVIDER = MailProvider(
    name="sendgrid",
    title="SendGrid",
    settings=SendGridSettings,
    required=("api_key",),
    account=SendGridAccount,
    create=lambda settings, _: SendGridProvider(settings),
    most_recipients=1000,  # https://docs.sendgrid.com/api-reference/mail-send/limitations
    smtputf8=False,
    webhook=Webhook(lambda settings: settings.webhook_key, read),
)
