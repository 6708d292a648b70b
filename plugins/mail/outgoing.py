"""The message to deliver, and its form as MIME (RFC 5322).

MIME is written here, not by `email.message.EmailMessage`, for two reasons that `python -m benchmarks.mime` shows. That
one breaks the link of a long List-Unsubscribe header into encoded words, which no mail program follows (RFC 8058). And
it takes 1.5 ms of processor time for a newsletter with 1 KB of HTML, and 1.8 ms with 10 KB, where this takes 0.06 and
0.14 ms.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime
from urllib.parse import quote

from .addresses import CONTROL, Address, phrase

REFERENCE, REFERENCE_HEADER = "reference", "X-Tenantry-Reference"
"""The names under which providers carry `Outgoing.reference` and return it in their webhooks."""

LONGEST_LINE = 998
"""Characters of a line without its end (RFC 5322 section 2.1.1)."""

FOLD_AT = 76
LONGEST_FILENAME = 255  # bytes; what file systems take
OWN_HEADERS = frozenset(
    {
        *("from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id"),
        *("mime-version", "content-type", "content-transfer-encoding", "return-path", "received"),
    }
)
"""Headers that this module or servers on the way write; they cannot be given."""

MACHINE_MADE = (("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "OOF, AutoReply"))
"""Headers of automatic mail, so that no out-of-office note answers it (RFC 3834 section 5, MS-OXCMAIL)."""

_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,240}@[!-;=?-~]{1,240}>")
_CONTENT_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Attached:
    """An attached file; content_type without parameters, such as "application/pdf"."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to leave.

    message_id: with its angle brackets, `<…@…>`. bcc: recipients that no header names. text, html: one may be "".
    headers: additional ones, such as List-Unsubscribe. reference: an opaque token that the provider's webhooks return.
    category: for the provider's statistics. priority: the lower goes first; one slot of a provider is reserved for
    priorities of 0 and below.
    """

    message_id: str
    sender: Address
    to: tuple[Address, ...]
    subject: str
    text: str
    html: str = ""
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attached, ...] = ()
    reference: str = ""
    category: str = ""
    priority: int = 0

    @property
    def recipients(self) -> tuple[str, ...]:
        """The bare addresses of all recipients, each once."""
        return tuple(dict.fromkeys(address.email for address in (*self.to, *self.cc, *self.bcc)))

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address in it is not ASCII before the @ (RFC 6531)."""
        everybody = (self.sender, *self.to, *self.cc, *self.bcc, *self.reply_to)
        return any(address.needs_smtputf8 for address in everybody)


def mime(outgoing: Outgoing) -> bytes:
    """The message as bytes, lines ended by CRLF; 7-bit but for addresses that need SMTPUTF8. Bcc is not in it.

    Raises:
        ValueError: something in it is not allowed in a header or a body; a sentence for people.
    """
    content = _body(outgoing)
    if outgoing.attachments:
        content = _multipart("mixed", [content, *map(_attachment, outgoing.attachments)])
    return b"".join([_head(outgoing), b"MIME-Version: 1.0\r\n", content])


def check(outgoing: Outgoing) -> None:
    """Make the checks of `mime`, for a provider that builds the message itself.

    Raises:
        ValueError: something in it is not allowed in a header; a sentence for people.
    """
    _head(outgoing)
    for attached in outgoing.attachments:
        _attachment_head(attached)


def check_varying(to: Address, subject: str, headers: Iterable[tuple[str, str]] = ()) -> None:
    """Make the checks of `mime` that its recipient, its subject and these headers need; all else was checked before.

    Raises:
        ValueError: as `check`.
    """
    _addresses("To", [to])
    _unstructured("Subject", subject)
    for name, value in headers:
        _unstructured(name, value)


def check_attached(filename: str, content_type: str) -> None:
    """Raise ValueError when a file cannot go with a message under that name and type; a sentence for people."""
    _attachment_head(Attached(filename, content_type, b""))


def header_value(value: str) -> str:
    """A header's value as one line of ASCII."""
    return value if value.isascii() and "=?" not in value else _encoded(value).replace("\r\n", "")


def _head(outgoing: Outgoing) -> bytes:
    if not _MESSAGE_ID.fullmatch(outgoing.message_id):
        raise ValueError(f"{outgoing.message_id!r} is not a valid Message-ID")
    lines = [
        f"Date: {format_datetime(datetime.now(UTC))}",
        f"Message-ID: {outgoing.message_id}",
        _addresses("From", [outgoing.sender]),
        _addresses("To", outgoing.to) if outgoing.to else "To: undisclosed-recipients:;",
    ]
    if outgoing.cc:
        lines.append(_addresses("Cc", outgoing.cc))
    if outgoing.reply_to:
        lines.append(_addresses("Reply-To", outgoing.reply_to))
    lines.append(_unstructured("Subject", outgoing.subject))
    for name, value in outgoing.headers:
        if not _HEADER_NAME.fullmatch(name) or name.lower() in OWN_HEADERS:
            raise ValueError(f"{name!r} cannot be given as a header")
        lines.append(_unstructured(name, value))
    return ("\r\n".join(lines) + "\r\n").encode()


# -- headers ---------------------------------------------------------------------------------------------


def _addresses(name: str, addresses: Sequence[Address]) -> str:
    written = [_mailbox(address) for address in addresses]
    return _folded(name, [*(f"{each}," for each in written[:-1]), written[-1]])


def _mailbox(address: Address) -> str:
    _refuse_control("an address", address.name)
    _refuse_control("an address", address.email)
    if not address.name:
        return address.email
    plain = address.name.isascii() and "=?" not in address.name
    return f"{phrase(address.name) if plain else _encoded(address.name)} <{address.email}>"


def _unstructured(name: str, value: str) -> str:
    _refuse_control(name, value)
    if value.isascii() and "=?" not in value:
        return _folded(name, value.split(" "))
    return f"{name}: {_encoded(value, first=len(name) + 2)}"


def _encoded(text: str, first: int = 20) -> str:
    """Encoded words (RFC 2047); also for text that looks like one, so that it is shown as it was written."""
    return Header(text, "utf-8", maxlinelen=FOLD_AT, header_name="x" * (first - 2)).encode(linesep="\r\n")


def _folded(name: str, words: Iterable[str]) -> str:
    """The header, its lines broken between words and never within one: a link stays whole."""
    lines = [f"{name}:"]
    for word in words:
        if word and len(lines[-1]) + 1 + len(word) > FOLD_AT and lines[-1].strip() != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    if any(len(line.encode()) > LONGEST_LINE for each in lines for line in each.split("\r\n")):
        raise ValueError(f"{name} has a word too long for a line of {LONGEST_LINE} characters")
    return "\r\n".join(lines)


def _refuse_control(label: str, text: str) -> None:
    if CONTROL.search(text):
        raise ValueError(f"{label} is one line, without control characters")


# -- bodies ----------------------------------------------------------------------------------------------


def _body(outgoing: Outgoing) -> bytes:
    if outgoing.html and outgoing.text:
        parts = [_text("plain", outgoing.text), _text("html", outgoing.html)]
        return _multipart("alternative", parts)
    return _text("html", outgoing.html) if outgoing.html else _text("plain", outgoing.text)


def _text(subtype: str, text: str) -> bytes:
    encoding, content = _transferable(text.replace("\r\n", "\n").replace("\r", "\n"))
    return (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'.encode()
        + content.replace(b"\n", b"\r\n")
        + (b"" if content.endswith(b"\n") else b"\r\n")
    )


def _transferable(text: str) -> tuple[str, bytes]:
    """The text in the most readable encoding that every server takes on (RFC 2045 section 6)."""
    raw = text.encode()
    if raw.isascii() and b"\0" not in raw and all(len(line) <= LONGEST_LINE for line in raw.split(b"\n")):
        return "7bit", raw
    if len(raw) > len(text) * 4 / 3:  # mostly not Latin: quoted-printable would be three times as long
        return "base64", base64.encodebytes(raw.replace(b"\n", b"\r\n"))
    return "quoted-printable", binascii.b2a_qp(raw, istext=True)


def _attachment(attached: Attached) -> bytes:
    return _attachment_head(attached) + base64.encodebytes(attached.content).replace(b"\n", b"\r\n")


def _attachment_head(attached: Attached) -> bytes:
    content_type = attached.content_type
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise ValueError(f"{content_type!r} is not a content type such as application/pdf")
    if content_type.lower().startswith(("message/", "multipart/")):
        content_type = "application/octet-stream"  # RFC 2046 allows those no base64
    return (
        f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n {_filename(attached.filename)}\r\n\r\n"
    ).encode()


def _filename(filename: str) -> str:
    """The `filename` parameter; beyond ASCII as RFC 2231 says."""
    _refuse_control("a file's name", filename)
    if len(filename.encode()) > LONGEST_FILENAME:
        raise ValueError(f"a file's name has {LONGEST_FILENAME} bytes at most")
    if filename.isascii():
        quoted = filename.replace("\\", "\\\\").replace('"', '\\"')
        return f'filename="{quoted}"'
    return f"filename*=utf-8''{quote(filename, safe='')}"


def _multipart(subtype: str, parts: Sequence[bytes]) -> bytes:
    boundary = f"=_{secrets.token_hex(16)}".encode()  # "=_" occurs in neither base64 nor quoted-printable
    head = b'Content-Type: multipart/%s;\r\n boundary="%s"\r\n\r\n' % (subtype.encode(), boundary)
    return b"".join([head, *(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts), b"--%s--\r\n" % boundary])
