"""Verify SendGrid Event Webhooks (ECDSA) and parse their events.

Sources: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
and https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import timedelta

from host.sdk import BadRequest

from ...outgoing import REFERENCE
from .feedback import (
    Call,
    Feedback,
    Kind,
    Unwanted,
    address,
    check_age,
    check_number,
    event_id,
    happened_at,
    json_of,
    part,
    refused_signature,
    text,
    unix_time,
)

SIGNATURE, TIMESTAMP = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"

_KINDS: Mapping[str, Kind] = {
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


def read(call: Call, public_key: str, tolerance: timedelta) -> list[Feedback]:
    """Verify a call and return its events.

    public_key: the verification key of the Event Webhook, base64 of a DER SubjectPublicKeyInfo, as SendGrid shows it.

    Raises:
        BadRequest: the signature is wrong, the time too far away, or the body is not a list of events.
        PayloadTooLarge: there are too many events.
    """
    _verify(call, public_key, tolerance)
    events = json_of(call.body)
    if not isinstance(events, list):
        raise BadRequest("SendGrid sends a list of events.")
    check_number(events)
    return [feedback for event in events if (feedback := _feedback(event)) is not None]


def _verify(call: Call, public_key: str, tolerance: timedelta) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    timestamp = call.headers.get(TIMESTAMP, "")
    signed_at = unix_time(timestamp)
    key = load_der_public_key(base64.b64decode(public_key))
    if signed_at is None or not isinstance(key, EllipticCurvePublicKey):
        raise refused_signature()
    try:
        signature = base64.b64decode(call.headers.get(SIGNATURE, ""), validate=True)
        key.verify(signature, timestamp.encode() + call.body, ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        raise refused_signature() from None
    check_age(signed_at, tolerance)


def _feedback(event: object) -> Feedback | None:
    name = text(part(event, "event"))
    kind, reference, known_as = (
        _KINDS.get(name),
        text(part(event, REFERENCE), 2_000),  # custom arguments are fields of the event
        event_id(part(event, "sg_event_id")),
    )
    if kind is None or not (reference and known_as):
        return None
    return Feedback(
        reference=reference,
        kind=kind,
        at=happened_at(unix_time(part(event, "timestamp"))),
        recipient=address(part(event, "email")),
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
