"""Compare our MIME writer with the standard library's: `python -m benchmarks.mime`, a few seconds, nothing else needed.

Prints the milliseconds of processor time that each takes for one message of text and HTML, 1 KB and 10 KB long, and
whether the link to unsubscribe is still one that mail programs follow (RFC 8058).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from plugins.mail.addresses import Address
from plugins.mail.outgoing import Outgoing, mime

ROUNDS = 300
LINK = f"https://host.example/api/v1/mail/unsubscribe/{'A1b2' * 70}"


def message(paragraphs: int) -> Outgoing:
    """A newsletter as most are: a text and HTML with a few letters beyond ASCII."""
    words = "Hello Ada, this is a newsletter about something new: "
    return Outgoing(
        message_id="<0190@acme.example>",
        sender=Address("Büro Acme", "news@acme.example"),
        to=(Address("Ada", "ada@example.com"),),
        subject="Newsletter für Ada",
        text=f"{words}https://example.com/a\n\n" * paragraphs + "Grüße\n",
        html=f"<p>{words}<a href='https://example.com/a'>a</a></p>\n" * paragraphs + "<p>Grüße</p>\n",
        headers=(("List-Unsubscribe", f"<{LINK}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")),
    )


def by_library(outgoing: Outgoing) -> bytes:
    """The same message, written by `email.message.EmailMessage`."""
    written = EmailMessage(policy=SMTP)
    written["Date"], written["Message-ID"] = format_datetime(datetime.now(UTC)), outgoing.message_id
    written["From"], written["To"] = str(outgoing.sender), ", ".join(map(str, outgoing.to))
    written["Subject"] = outgoing.subject
    for name, value in outgoing.headers:
        written[name] = value
    written.set_content(outgoing.text, cte="quoted-printable")
    written.add_alternative(outgoing.html, subtype="html", cte="quoted-printable")
    return written.as_bytes()


def milliseconds(write: Callable[[Outgoing], bytes], outgoing: Outgoing) -> float:
    """Processor time of writing the message once."""
    write(outgoing)
    begun = time.process_time()
    for _ in range(ROUNDS):
        write(outgoing)
    return (time.process_time() - begun) / ROUNDS * 1000


def main() -> None:
    print(f"{'':<28} {'1 KB':>8} {'10 KB':>8}  link whole")
    for name, write in (("plugins.mail.outgoing.mime", mime), ("email.message.EmailMessage", by_library)):
        short, long = (milliseconds(write, message(paragraphs)) for paragraphs in (9, 90))
        print(f"{name:<28} {short:5.2f} ms {long:5.2f} ms  {'yes' if LINK.encode() in write(message(1)) else 'no'}")


if __name__ == "__main__":
    main()
