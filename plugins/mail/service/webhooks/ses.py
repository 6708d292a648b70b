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

# What happened -> its kind, the object that tells more, and in that the list of whom it is about.
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
    """The events of a call, one for each recipient it is about; none where it was about a subscription.

    Raises:
        BadRequest: see `sns.read`; or the notification is no JSON.
        PayloadTooLarge: it is about too many recipients.
        Unavailable: Amazon could not be asked.
    """
    notification = await sns.read(call, topics, tolerance, certificates, fetch)
    if notification is None:
        return []
    event = json_of(notification["Message"].encode())
    name = text(part(event, "eventType")) or text(part(event, "notificationType"))
    reference = _reference(event)
    if name not in _KINDS or not reference:
        return []
    kind, told_in, people = _KINDS[name]
    told = part(event, told_in)
    recipients = _recipients(event, told, people)
    check_number(recipients)
    at = happened_at(iso_time(part(told, "timestamp")) or iso_time(notification["Timestamp"]))
    number = event_id(notification["MessageId"])
    return [
        Feedback(
            reference=reference,
            kind=kind,
            at=at,
            recipient=address(part(each, "emailAddress") or each),
            event=number if position == 0 else f"{number}/{position}",
            detail=_detail(each, told),
            suppress=_suppress(name, told),
        )
        for position, each in enumerate(recipients)
    ]


def _reference(event: object) -> str:
    """From the tags where SES passes them on, else from the message's own header."""
    for value in items(part(event, "mail", "tags", REFERENCE)):
        if found := text(value, 2_000):
            return found
    for header in items(part(event, "mail", "headers")):
        if text(part(header, "name")).lower() == REFERENCE_HEADER.lower():
            return text(part(header, "value"), 2_000)
    return ""


def _recipients(event: object, told: object, people: str) -> list[object]:
    """Whom it is about; where SES does not say, the one whom the message went to, or nobody in particular."""
    if people:
        return items(part(told, people))
    sent_to = items(part(event, "mail", "destination"))
    return sent_to if len(sent_to) == 1 else [""]


def _detail(recipient: object, told: object) -> str:
    said = text(part(recipient, "diagnosticCode")) or text(part(told, "smtpResponse")) or text(part(told, "reason"))
    kinds = [part(told, "bounceType"), part(told, "bounceSubType"), part(told, "delayType")]
    named = " ".join(text(each) for each in (*kinds, part(told, "complaintFeedbackType")) if text(each))
    return ": ".join(each for each in (named, said) if each)[:500] or text(part(told, "link"))


def _suppress(name: str, told: object) -> Unwanted | None:
    if name == "Complaint":
        return "complaint"
    return "bounce" if name == "Bounce" and part(told, "bounceType") == "Permanent" else None
