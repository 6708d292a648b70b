"""A message on the network: what a mail program reads is what was meant, and nothing breaks out of a header."""

from __future__ import annotations

import re
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.mail.addresses import Address
from plugins.mail.outgoing import Attached, Outgoing, mime

PLAIN = Outgoing(
    message_id="<m1@example.com>",
    sender=Address("Acme", "news@acme.example"),
    to=(Address("", "ada@example.com"),),
    subject="Hello",
    text="Hi Ada",
)


def read(outgoing: Outgoing) -> EmailMessage:
    message = message_from_bytes(mime(outgoing), policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text.rstrip("\r\n"))


def test_mime_when_read_by_a_mail_program_then_says_what_was_meant() -> None:
    message = read(
        replace(
            PLAIN,
            sender=Address("Zoë & Söhne, GmbH", "zoe@xn--bcher-kva.example"),
            to=(Address("Lovelace, Ada", "ada@example.com"), Address("Grace M. Hopper", "grace@example.com")),
            cc=(Address("", "cc@example.com"),),
            bcc=(Address("", "secret@example.com"),),
            reply_to=(Address("Kundendienst für alle", "help@acme.example"),),
            subject="Übung macht den Meister – " * 8,
            text="Grüße\nund Küsse",
            html="<p>Grüße</p>",
            headers=(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),),
        )
    )
    assert message["From"] == '"Zoë & Söhne, GmbH" <zoe@xn--bcher-kva.example>'
    to = [(each.display_name, each.addr_spec) for each in message["To"].addresses]
    assert to == [("Lovelace, Ada", "ada@example.com"), ("Grace M. Hopper", "grace@example.com")]
    assert message["Cc"] == "cc@example.com"
    assert message["Bcc"] is None
    assert b"secret@" not in mime(replace(PLAIN, bcc=(Address("", "secret@example.com"),)))
    assert message["Reply-To"].addresses[0].display_name == "Kundendienst für alle"
    assert message["Subject"] == "Übung macht den Meister – " * 8
    assert message["Message-ID"] == "<m1@example.com>"
    assert message["Date"].datetime.tzinfo is not None
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert lines(text.get_content()) == ["Grüße", "und Küsse"]
    assert lines(html.get_content()) == ["<p>Grüße</p>"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\r\nlines\rof\nall kinds", "7bit"),
        ("trailing blanks  \nGrüße = 5 €\t\n", "quoted-printable"),
        ("x" * 2000, "quoted-printable"),
        ("привет мир\n" * 50, "base64"),
        ("nul \0 in it", "quoted-printable"),
        (".\n..\nFrom me\n", "7bit"),
    ],
)
def test_mime_when_text_is_of_any_kind_then_arrives_whole_in_short_seven_bit_lines(text: str, encoding: str) -> None:
    message = read(replace(PLAIN, text=text))
    assert message["Content-Transfer-Encoding"] == encoding
    assert lines(message.get_content()) == lines(text)
    raw = mime(replace(PLAIN, text=text))
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


def test_mime_when_files_are_attached_then_mixed_with_names_of_any_script() -> None:
    files = (
        Attached("plain.txt", "text/plain", b"\x00\xff" * 5000),
        Attached('Rechnung "für" März.pdf', "application/pdf", b"%PDF"),
        Attached("mail.eml", "message/rfc822", b"Subject: x\r\n\r\ny"),
    )
    message = read(replace(PLAIN, html="<b>x</b>", attachments=files))
    assert message.get_content_type() == "multipart/mixed"
    parts = list(message.iter_attachments())
    assert [part.get_filename() for part in parts] == [each.filename for each in files]
    assert [part.get_payload(decode=True) for part in parts] == [each.content for each in files]
    assert [part.get_content_type() for part in parts] == ["text/plain", "application/pdf", "application/octet-stream"]
    body = message.get_body(("html",))
    assert body is not None
    assert lines(body.get_content()) == ["<b>x</b>"]


def test_mime_when_a_list_link_is_long_then_stays_whole_on_one_line() -> None:
    link = f"<https://app.example.com/api/v1/mail/unsubscribe/{'a' * 300}>"
    assert f"List-Unsubscribe: {link}\r\n".encode() in mime(replace(PLAIN, headers=(("List-Unsubscribe", link),)))


def test_mime_when_thousand_recipients_then_folded_and_all_read() -> None:
    many = tuple(Address(f"Person {number}", f"p{number}@example.com") for number in range(1000))
    raw = mime(replace(PLAIN, to=many))
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78
    assert len(read(replace(PLAIN, to=many))["To"].addresses) == 1000


def test_mime_when_everybody_is_in_bcc_then_to_names_nobody() -> None:
    assert read(replace(PLAIN, to=(), bcc=PLAIN.to))["To"] == "undisclosed-recipients:;"


def test_mime_when_text_looks_like_an_encoded_word_then_shown_as_written() -> None:
    smuggled = "=?utf-8?q?Hi=0D=0ABcc:_eve=40example.com?="
    message = read(replace(PLAIN, subject=smuggled))
    assert message["Subject"] == smuggled
    assert message["Bcc"] is None


@pytest.mark.parametrize(
    "evil", ["a\r\nBcc: eve@example.com", "a\nb", "a\rb", "a\x00b", "a\u2028b", "a\x85b", "a\x0bb"]
)
@pytest.mark.parametrize(
    "field",
    [
        lambda evil: {"subject": evil},
        lambda evil: {"message_id": f"<{evil}@x>"},
        lambda evil: {"sender": Address(evil, "a@example.com")},
        lambda evil: {"to": (Address("", f"{evil}@example.com"),)},
        lambda evil: {"cc": (Address(evil, "a@example.com"),)},
        lambda evil: {"reply_to": (Address(evil, "a@example.com"),)},
        lambda evil: {"headers": (("X-Note", evil),)},
        lambda evil: {"headers": ((f"X-{evil}", "x"),)},
        lambda evil: {"attachments": (Attached(evil, "text/plain", b""),)},
        lambda evil: {"attachments": (Attached("x", f"text/{evil}", b""),)},
    ],
)
def test_mime_when_a_header_would_hold_a_line_break_then_refused(field: Any, evil: str) -> None:
    with pytest.raises(ValueError):
        mime(replace(PLAIN, **field(evil)))


@pytest.mark.parametrize("name", ["Bcc", "from", "Content-Type", "Message-ID", "X Y", "X:", ""])
def test_mime_when_a_header_is_ours_or_no_header_then_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        mime(replace(PLAIN, headers=((name, "x"),)))


def test_mime_when_an_address_needs_smtputf8_then_it_is_written_in_utf8() -> None:
    outgoing = replace(PLAIN, to=(Address("Zoë", "zoë@example.com"),))
    assert outgoing.needs_smtputf8
    assert "<zoë@example.com>".encode() in mime(outgoing)


def test_recipients_when_one_is_named_twice_then_counted_once() -> None:
    outgoing = replace(PLAIN, cc=(Address("Ada", "ada@example.com"),), bcc=(Address("", "bob@example.com"),))
    assert outgoing.recipients == ("ada@example.com", "bob@example.com")


@given(st.text(max_size=300), st.text(max_size=120))
def test_mime_when_subject_and_name_are_anything_then_read_back_the_same_or_refused(subject: str, name: str) -> None:
    outgoing = replace(PLAIN, subject=subject, sender=Address(name, "news@acme.example"))
    try:
        raw = mime(outgoing)
    except ValueError:
        return
    headers = raw.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"\r\n[ \t]*\r\n", headers)  # a blank line would end the headers
    message = message_from_bytes(raw, policy=default)
    assert [key for key in message if key in ("Bcc", "Subject", "From")] == ["From", "Subject"]
    assert " ".join(message["Subject"].split()) == " ".join(subject.split())
