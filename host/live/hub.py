"""Publish to live channels, and follow them with one connection to Redis for all followers of the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import orjson

from host.cache.client import RedisClient
from host.contracts import LiveChannel, LiveMessage
from host.errors import Unavailable
from host.live.feed import Feed
from host.live.history import Entry, Replay, append, notice, replay
from host.live.subscriptions import Subscriptions

START = "live.start"
"""The event that a stream begins with, and that comes again where messages were lost.

Its data is `{"recovered": false}` where the follower must read what there is anew, else true.
"""

_RETRY = 0.5


class LiveHub:
    """The live channels of one application in this process."""

    def __init__(self, redis_client: RedisClient) -> None:
        self._redis_client = redis_client
        self._feeds: dict[str, Feed] = {}
        self._subscriptions = Subscriptions(redis_client, self._heard, self._begun)

    def start(self) -> None:
        """Start; nothing is connected before something is followed."""
        self._subscriptions.start()

    async def close(self) -> None:
        """Close the connection."""
        await self._subscriptions.close()

    async def publish(self, stream: str, channel: LiveChannel, event: str, data: bytes) -> None:
        """Keep a message, and send it to every follower in every process.

        Raises:
            Unavailable: Redis cannot be reached.
        """
        await append(self._redis_client, stream, (channel.history, channel.seconds), event, data)

    async def follow(
        self, stream: str, channel: LiveChannel, after: str, ended: Callable[[], bool]
    ) -> AsyncGenerator[LiveMessage, None]:
        """Every message after a position, in order, each once; `START` first, and again where some were lost.

        ended: asked whenever `wake` is called for the stream; True ends the generator. While Redis is away, it waits.
        """
        feed, position, begun, idle = self._join(stream), after, False, False
        try:
            while not ended():
                changed = feed.changed  # before looking: set by what comes meanwhile, and once notices come
                entries = feed.after(position) if begun and not idle else None
                if entries is None:
                    read = await self._replay(feed, stream, channel, position)
                    if read is not None and not (begun and read.recovered):
                        begun, position = True, read.position
                        yield LiveMessage(START, {"recovered": read.recovered}, position)
                    entries = read.entries if read is not None else []
                for entry in entries:
                    if ended():
                        return
                    position = entry.id
                    if entry.event:
                        yield _message(entry)
                idle = not entries and not await _happens(changed, channel.seconds / 3)
        finally:
            self._leave(stream, feed)

    def wake(self, stream: str) -> None:
        """Let the followers of a stream look again, also at whether they have ended."""
        if stream in self._feeds:
            self._feeds[stream].wake()

    # -- what is followed ----------------------------------------------------------------------------------

    def _join(self, stream: str) -> Feed:
        feed = self._feeds.get(stream)
        if feed is None:
            feed = self._feeds[stream] = Feed()
            self._subscriptions.add(stream)
        feed.followers += 1
        return feed

    def _leave(self, stream: str, feed: Feed) -> None:
        feed.followers -= 1
        if not feed.followers:
            del self._feeds[stream]
            self._subscriptions.discard(stream)

    async def _replay(self, feed: Feed, stream: str, channel: LiveChannel, position: str) -> Replay | None:
        """What Redis keeps after a position; None when it is to be asked again."""
        try:
            return await replay(self._redis_client, stream, channel.seconds, position)
        except Unavailable:
            await asyncio.sleep(_RETRY)
            feed.wake()
            return None

    def _heard(self, stream: str, payload: bytes) -> None:
        if stream in self._feeds:
            self._feeds[stream].hear(notice(payload))

    def _begun(self, stream: str) -> None:
        if stream in self._feeds:
            self._feeds[stream].begin()


def _message(entry: Entry) -> LiveMessage:
    return LiveMessage(entry.event, orjson.loads(entry.data), entry.id)


async def _happens(event: asyncio.Event, within: float) -> bool:
    """Whether an event happens within so many seconds."""
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True
