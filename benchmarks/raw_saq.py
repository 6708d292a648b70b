"""The baseline for mail: SAQ alone, as one would write it by hand.

`python -m benchmarks.raw_saq work REDIS_URL SMTP_PORT` runs a worker; `accept` is called by `benchmarks.mail`.
"""

from __future__ import annotations

import asyncio
import sys
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Any

import aiosmtplib
from saq import Queue, Worker

CONCURRENCY = 10
TEXT = "Hello {name},\n\nthis is the newsletter number {number} of Acme.\n\nYours, Acme\n"
HTML = "<html><body><p>Hello {name},</p><p>this is the newsletter number {number} of Acme.</p></body></html>"


async def accept(url: str, count: int) -> None:
    """Enqueue `count` messages, in groups as SAQ can."""
    queue = Queue.from_url(url)
    await queue.connect()
    for start in range(0, count, 100):
        await asyncio.gather(
            *(
                queue.enqueue("send", to=f"person{number}@example.com", name=f"P{number}", number=number, retries=3)
                for number in range(start, min(count, start + 100))
            )
        )
    await queue.disconnect()


async def send(context: dict[str, Any], *, to: str, name: str, number: int) -> None:
    """Build the message and send it over a connection that stays open."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Acme <no-reply@acme.example>", to, f"Newsletter {number}"
    message["Message-ID"] = make_msgid(domain="acme.example")
    message.set_content(TEXT.format(name=name, number=number))
    message.add_alternative(HTML.format(name=name, number=number), subtype="html")
    client = await context["clients"].get()
    try:
        await client.send_message(message)
    finally:
        context["clients"].put_nowait(client)


async def work(url: str, port: int) -> None:
    """A worker until it is killed."""
    clients: asyncio.Queue[aiosmtplib.SMTP] = asyncio.Queue()
    for _ in range(CONCURRENCY):
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, use_tls=False, start_tls=False)
        await client.connect()
        clients.put_nowait(client)

    async def startup(context: dict[str, Any]) -> None:
        context["clients"] = clients

    await Worker(Queue.from_url(url), functions=[send], concurrency=CONCURRENCY, startup=startup).start()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[2], int(sys.argv[3])))
