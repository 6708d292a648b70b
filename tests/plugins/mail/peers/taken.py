"""What a peer took: the same facts, whatever way they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Literal

Mood = Literal["well", "away", "throttled", "locked"]
"""away: drops, or 5xx. throttled: asks to come back later. locked: knows neither key nor password."""

NOBODY = "nobody@"
"""Recipients that begin so are refused for good."""

SPAM = "Buy now"
"""A subject that is refused for good."""


@dataclass
class Taken:
    """One message as the provider would send it on."""

    envelope: Sequence[str]
    sender: str
    message_id: str
    subject: str
    text: str
    html: str
    headers: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)
    reference: str = ""
    shown: str = ""  # everything that a recipient may see


def from_mime(raw: bytes, envelope: Sequence[str], reference: str = "") -> Taken:
    """What a MIME message says."""
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    assert b"\n" not in raw.replace(b"\r\n", b"")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    return Taken(
        envelope=list(envelope),
        sender=message["From"].addresses[0].addr_spec,
        message_id=message["Message-ID"],
        subject=message["Subject"],
        text=str(text.get_content()).strip() if text else "",
        html=str(html.get_content()).strip() if html else "",
        headers={name: str(value) for name, value in message.items()},
        files=[
            (part.get_filename() or "", part.get_content_type(), part.get_payload(decode=True) or b"")  # type: ignore[misc]
            for part in message.iter_attachments()
        ],
        reference=reference,
        shown=raw.decode(),
    )
