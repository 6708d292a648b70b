"""Ping the WebSockets of Hypercorn while they are open: its own pings hold a closed one until the next is due."""

from __future__ import annotations

from hypercorn.protocol.ws_stream import WSStream
from wsproto.events import Ping

_LOOK_EVERY = 0.5


async def _send_pings(stream: WSStream) -> None:
    interval = stream.config.websocket_ping_interval or 0.0
    waited = interval
    while not (stream.closed or stream.idle):
        if waited >= interval:
            waited = 0.0
            await stream._send_wsproto_event(Ping())
        await stream.context.sleep(_LOOK_EVERY)
        waited += _LOOK_EVERY


def install_pings() -> None:
    """Make Hypercorn, in this process, stop pinging when a socket closes, so that its connection is not kept.

    Hypercorn has no setting for this: the method that pings is replaced. Called once, by whatever starts the server.
    """
    WSStream._send_pings = _send_pings  # type: ignore[assignment, method-assign]
