"""Parse Amazon SES events that arrive as SNS notifications.

Sources: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
and https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from ...outgoing import REFERENCE, REFERENCE_HEADER
from . import sns
from .feedback import (
    Call,
    Feedback,
    Kind,
    Unwanted,
    address,
    check_number,
    event_id,
    happened_at,
    iso_time,
    items,
    json_of,
    part,
    text,
)

# Event type -> our kind, the object with details, and in it the list of recipients.
_KINDS: Mapping[str, tuple[Kind, str, str]] = {
    "Bounce": ("bounced", "bounce", "bouncedRecipients"),
    "Complaint": ("complained", "complaint", "complainedRecipients"),
    "Delivery": ("delivered", "delivery", "recipients"),
    "DeliveryDelay": ("deferred", "deliveryDelay", "delayedRecipients"),
    "Reject": ("bounced", "reject", ""),
    "Open": ("opened", "open", ""),
    "Click": ("clicked", "click", ""),
    "Subscription": ("unsubscribed", "subscription", ""),
}


async def read(
    call: Call, topics: Collection[str], tolerance: timedelta, certificates: sns.Certificates, fetch: sns.Fetch
) -> list[Feedback]:
    """Verify a call and return its events, one for each recipient; [] where it was about an SNS subscription.

    Raises:
        BadRequest: see `sns.read`; or the notification is not JSON.
        PayloadTooLarge: it is about too many recipients.
        Unavailable: Amazon could not be reached.
    """
    notification = await sns.read(call, topics, tolerance, certificates, fetch)
    if notification is None:
        return []
    event = json_of(notification["Message"].encode())
    name = text(part(event, "eventType")) or text(part(event, "notificationType"))
    reference = _reference(event)
    if name not in _KINDS or not reference:
        return []
    kind, details_name, recipients_name = _KINDS[name]
    details = part(event, details_name)
    recipients = _recipients(event, details, recipients_name)
    check_number(recipients)
    at = happened_at(iso_time(part(details, "timestamp")) or iso_time(notification["Timestamp"]))
    number = event_id(notification["MessageId"])
    return [
        Feedback(
            reference=reference,
            kind=kind,
            at=at,
            recipient=address(part(each, "emailAddress") or each),
            event=number if position == 0 else f"{number}/{position}",
            detail=_detail(each, details),
            suppress=_suppress(name, details),
            # SES reports out-of-office notes like this: /dg/notification-contents.html#bounce-types
            perhaps_answer=part(details, "bounceType") == "Transient" and part(details, "bounceSubType") == "General",
        )
        for position, each in enumerate(recipients)
    ]


def _reference(event: object) -> str:
    """Our reference, from the tags where SES passes them on, else from the message's header."""
    for value in items(part(event, "mail", "tags", REFERENCE)):
        if found := text(value, 2_000):
            return found
    for header in items(part(event, "mail", "headers")):
        if text(part(header, "name")).lower() == REFERENCE_HEADER.lower():
            return text(part(header, "value"), 2_000)
    return ""


def _recipients(event: object, details: object, recipients_name: str) -> list[object]:
    """The recipients of an event; where SES names none, the message's only recipient, else [""]."""
    if recipients_name:
        return items(part(details, recipients_name))
    sent_to = items(part(event, "mail", "destination"))
    return sent_to if len(sent_to) == 1 else [""]


def _detail(recipient: object, details: object) -> str:
    said = (
        text(part(recipient, "diagnosticCode")) or text(part(details, "smtpResponse")) or text(part(details, "reason"))
    )
    kinds = [part(details, "bounceType"), part(details, "bounceSubType"), part(details, "delayType")]
    named = " ".join(text(each) for each in (*kinds, part(details, "complaintFeedbackType")) if text(each))
    return ": ".join(each for each in (named, said) if each)[:500] or text(part(details, "link"))


def _suppress(name: str, details: object) -> Unwanted | None:
    if name == "Complaint":
        return "complaint"
    return "bounce" if name == "Bounce" and part(details, "bounceType") == "Permanent" else None
