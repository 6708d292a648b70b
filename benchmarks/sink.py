"""SMTP server that accepts every message and notes the time: `python -m benchmarks.sink PORT FILE [SECONDS]`.

SECONDS: how long it takes for each message; 0 without. One line per message: seconds since 1970, its Message-ID, the
first recipient.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import TextIO

_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_RECIPIENT = re.compile(rb"<([^>]*)>")


class Sink(asyncio.Protocol):
    """One connection (RFC 5321, as much as senders need)."""

    def __init__(self, notes: TextIO, seconds: float) -> None:
        self._notes, self._seconds = notes, seconds
        self._waiting = bytearray()
        self._in_data = False
        self._recipient = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._say("220 sink ESMTP")

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while True:
            ending = b"\r\n.\r\n" if self._in_data else b"\r\n"
            at = self._waiting.find(ending)
            if at < 0:
                return
            part = bytes(self._waiting[:at])
            del self._waiting[: at + len(ending)]
            self._message(part) if self._in_data else self._command(part)

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"EHLO":
            self._say("250-sink\r\n250-SMTPUTF8\r\n250 8BITMIME")
        elif verb == b"DATA":
            self._in_data = True
            self._say("354 go on")
        elif verb == b"QUIT":
            self._say("221 bye")
            self._transport.close()
        else:
            if verb == b"RCPT" and (found := _RECIPIENT.search(line)):
                self._recipient = found[1].decode()
            self._say("250 fine")

    def _message(self, content: bytes) -> None:
        self._in_data = False
        found = _MESSAGE_ID.search(content)
        self._notes.write(f"{time.time()} {found[1].decode() if found else '-'} {self._recipient}\n")
        if self._seconds:
            asyncio.get_running_loop().call_later(self._seconds, self._say, "250 taken")
        else:
            self._say("250 taken")

    def _say(self, text: str) -> None:
        self._transport.write(text.encode() + b"\r\n")


async def main(port: int, file: Path, seconds: float = 0.0) -> None:
    """Serve until killed."""
    with file.open("a", buffering=1) as notes:
        server = await asyncio.get_running_loop().create_server(lambda: Sink(notes, seconds), "127.0.0.1", port)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:])))
