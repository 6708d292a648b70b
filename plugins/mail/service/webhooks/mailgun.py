"""Verify Mailgun webhooks (HMAC) and parse their event.

Sources: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
and https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-types
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import timedelta

from ...outgoing import REFERENCE
from .feedback import (
    Call,
    Feedback,
    Kind,
    Unwanted,
    address,
    check_age,
    event_id,
    happened_at,
    json_of,
    part,
    refused_signature,
    text,
    unix_time,
)

_KINDS: Mapping[str, Kind] = {
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


def read(call: Call, signing_key: str, tolerance: timedelta) -> list[Feedback]:
    """Verify a call and return its event, or [] for kinds that are not followed.

    Mailgun signs only a time and a token, so whoever has seen one call could send another body with them. Therefore the
    token is used as the event's id: each token is recorded once.

    Raises:
        BadRequest: the signature is wrong, the time too far away, or the body is not JSON.
    """
    document = json_of(call.body)
    token = _verify(document, signing_key, tolerance)
    event = part(document, "event-data")
    name = text(part(event, "event"))
    kind, reference = _KINDS.get(name), text(part(event, "user-variables", REFERENCE), 2_000)
    if kind is None or not reference:
        return []
    if name == "failed" and part(event, "severity") == "temporary":
        kind = "deferred"
    feedback = Feedback(
        reference=reference,
        kind=kind,
        at=happened_at(unix_time(part(event, "timestamp"))),
        recipient=address(part(event, "recipient")),
        event=token,
        detail=_detail(event),
        suppress=_suppress(event, kind),
    )
    return [feedback]


def _verify(document: object, signing_key: str, tolerance: timedelta) -> str:
    """Verify the signature and return the token."""
    timestamp, token = part(document, "signature", "timestamp"), part(document, "signature", "token")
    signature, signed_at = part(document, "signature", "signature"), unix_time(timestamp)
    if not (isinstance(token, str) and isinstance(signature, str) and token and signed_at is not None):
        raise refused_signature()
    expected = hmac.new(signing_key.encode(), f"{timestamp}{token}".encode(), "sha256").hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise refused_signature()
    check_age(signed_at, tolerance)
    return event_id(token)


def _detail(event: object) -> str:
    status = part(event, "delivery-status")
    said = text(part(status, "message")) or text(part(status, "description")) or text(part(event, "reject", "reason"))
    return said or text(part(event, "reason")) or text(part(event, "url"))


def _suppress(event: object, kind: Kind) -> Unwanted | None:
    if kind == "complained":
        return "complaint"
    return _FAILED.get(text(part(event, "reason"))) if kind == "bounced" else None
