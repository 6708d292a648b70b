"""Answer with server-sent events: heartbeats, resuming, and an end when the right, the client or the process goes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, cast

from host.contracts import Events, LiveMessage, Route
from host.live.open_streams import OpenStreams
from host.live.rights import RightsWatch
from host.web.admission.admission import Admission
from host.web.handlers.querystring import LAST_EVENT_ID, parse
from host.web.responses.reply import Reply
from host.web.responses.server_sent_events import HEADERS, HEARTBEAT, frame, opening
from host.web.server.request import TenantryRequest
from host.web.server.request_state import request_state_of

HEARTBEAT_EVERY = 15.0
"""Seconds without an event after which a comment is sent."""

_FIRST_WITHIN = 0.1  # an error that comes this soon is still answered as an error
_LEAVE_WITHIN = 0.5  # seconds that a client may take to receive the end
_WAITING = 64

_log = logging.getLogger("host.web")


class EventStreams:
    """Opens streams of server-sent events.

    whoever has no right any more is found by asking the one admission again, as `rights` says when.
    """

    def __init__(self, admission: Admission, rights: RightsWatch, open_streams: OpenStreams) -> None:
        self._admission, self._rights, self._open_streams = admission, rights, open_streams

    async def reply(
        self, events: Events, route: Route, plugin: str, request: TenantryRequest, path: Mapping[str, Any]
    ) -> Reply:
        """The reply that streams these events.

        Raises:
            RateLimited: this person has as many streams open as there may be.
            Exception: what the source raises before its first event.
        """
        if request.method == "HEAD":
            return Reply(200, list(HEADERS))
        state = request_state_of(request)
        actor = state.actor

        async def admitted() -> bool:
            await self._admission.readmit(route, plugin, state, path)
            return True

        stream = EventStream(events.source(_position(request)), events.retry)
        try:
            whose = str(actor.user_id or actor.id or state.address)
            await stream.enter(self._open_streams.opened(whose))
            watching = self._rights.watching(state.tenant_id, actor.user_id, admitted, stream.end)
            stream.enter_block(watching)
            await stream.begin()
        except BaseException:
            await stream.aclose()
            raise
        return Reply(200, list(HEADERS), stream)


class EventStream:
    """The bytes of one stream. One task reads the source, a bounded number of events ahead."""

    def __init__(self, source: AsyncIterator[LiveMessage], retry: float) -> None:
        self._source, self._retry = source, retry
        self._stack = AsyncExitStack()
        self._events: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[Any] | None = None
        self._failure: Exception | None = None
        self._begun = self._over = False

    async def enter(self, block: Any) -> None:
        """Be in this asynchronous block until the stream is closed."""
        await self._stack.enter_async_context(block)

    def enter_block(self, block: Any) -> None:
        """Be in this block until the stream is closed."""
        self._stack.enter_context(block)

    async def begin(self) -> None:
        """Start reading; raises what the source raises at once."""
        self._reading = asyncio.create_task(self._read())
        await _happens(self._changed.wait, _FIRST_WITHIN)
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """End it: nothing more is sent, and a client that does not receive the end is cut off."""
        if self._over:
            return
        self._over = True
        self._events.clear()
        self._changed.set()
        if self._reading is not None:
            self._reading.cancel()
        if self._sending is not None:
            asyncio.get_running_loop().call_later(_LEAVE_WITHIN, self._cut_off)

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes to send."""
        self._sending = cast("asyncio.Task[Any]", asyncio.current_task())
        if not self._begun:
            self._begun = True
            return opening(self._retry)
        if not self._events and not self._over:
            self._changed.clear()
            if not await _happens(self._changed.wait, HEARTBEAT_EVERY):
                return HEARTBEAT
        if not self._events:
            raise StopAsyncIteration
        sent = b"".join(self._events)
        self._events.clear()
        self._room.set()
        return sent

    async def aclose(self) -> None:
        """Close the source."""
        self.end()
        self._sending = None
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=_LEAVE_WITHIN)
        await self._stack.aclose()

    async def _read(self) -> None:
        try:
            async for message in self._source:
                self._events.append(frame(message))
                self._changed.set()
                while len(self._events) >= _WAITING:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:
            self._failure = error
            if self._begun:
                _log.exception("a stream of events breaks off")
        finally:
            if hasattr(self._source, "aclose"):
                await self._source.aclose()
            self._over = True
            self._changed.set()

    def _cut_off(self) -> None:
        if self._sending is not None and not self._sending.done():
            self._sending.cancel()


def _position(request: TenantryRequest) -> str:
    """The last event that the client has; the header is newer than an address that was made before."""
    header = request.raw_headers.get(b"last-event-id")
    if header is not None:
        return header.decode("utf-8", "replace")
    return parse(request.query_string).get(LAST_EVENT_ID, [""])[-1]


async def _happens(wait: Callable[[], Awaitable[Any]], within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            await wait()
    except TimeoutError:
        return False
    return True
