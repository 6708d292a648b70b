"""Write messages as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import re

from host.contracts import LiveMessage
from host.web.responses.reply import NO_STORE, HeaderPairs, dumps

HEADERS: HeaderPairs = [
    (b"content-type", b"text/event-stream"),
    NO_STORE,
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]
HEARTBEAT = b":\n\n"
"""A comment, which clients pass over and which keeps proxies from closing a quiet connection."""

_PADDING = b":" + b" " * 2048 + b"\n"  # some browsers and proxies show nothing before they have 2 KB
_LINE_END = re.compile(r"\r\n|\r|\n")


def opening(retry: float) -> bytes:
    """What a stream begins with; retry: seconds after which a client connects again."""
    return _PADDING + b"retry: %d\n\n" % round(retry * 1000)


def frame(message: LiveMessage) -> bytes:
    """One message as an event.

    Raises:
        ValueError: its id or event's name holds a line break or NUL, which would end the field.
        TypeError: its data cannot be encoded as JSON.
    """
    text = message.data if isinstance(message.data, str) else dumps(message.data).decode()
    lines = [f"{name}: {_one_line(value)}" for name, value in (("id", message.id), ("event", message.event)) if value]
    lines += [f"data: {line}" for line in _LINE_END.split(text)]
    return "\n".join((*lines, "\n")).encode()


def _one_line(value: str) -> str:
    if _LINE_END.search(value) or "\0" in value:
        raise ValueError(f"an event's id and name are one line each, without NUL: {value!r}")
    return value
