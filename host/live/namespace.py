"""One live channel in one tenant: what a plugin publishes to and follows; it can name no other tenant's."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from host.contracts import LiveChannel, LiveMessage
from host.errors import NotFound
from host.live.hub import LiveHub
from host.live.rights import RightsWatch

LARGEST = 64 * 1024
"""Bytes of a message's data at most: send ids, and let followers read the rows."""

_LONGEST_KEY = 200
_EVENT = re.compile(r"[a-z][a-z0-9_.]{0,99}")


class LiveNamespace:
    """One channel in one tenant.

    user_id: the follower, whose rights are watched. allowed: whether the follower may follow a key now. after_commit:
    takes a callback if a unit of work is open, and says whether it did.
    """

    def __init__(
        self,
        hub: LiveHub,
        rights: RightsWatch,
        channel: LiveChannel,
        tenant_id: UUID,
        *,
        user_id: UUID | None,
        allowed: Callable[[str], Awaitable[bool]],
        after_commit: Callable[[Callable[[], Awaitable[None]]], bool],
    ) -> None:
        self._hub, self._rights, self._channel = hub, rights, channel
        self._tenant_id, self._user_id = tenant_id, user_id
        self._allowed, self._after_commit = allowed, after_commit

    async def publish(self, key: str, event: str, data: Any = None) -> None:
        """Send a message to whoever follows this key now or soon; in a unit of work, after its commit.

        event: like "item.created". data: JSON-able, 64 KB at most.

        A message may be lost (Redis was away or was emptied), so it says that something changed, and followers read
        what: after a commit nothing is raised any more, only logged.

        Raises:
            Unavailable: Redis cannot be reached, outside a unit of work.
            ValueError: the key or the event's name is not as it should be, or the data is too large.
        """
        stream = self._stream(key)
        if not _EVENT.fullmatch(event) or event.startswith("live."):
            raise ValueError(f"{event!r}: an event is named like item.created, and not live.…")
        encoded = orjson.dumps(data)
        if len(encoded) > LARGEST:
            raise ValueError(f"the data of {event} has {len(encoded)} bytes, of {LARGEST}: send ids, not contents")
        send = partial(self._hub.publish, stream, self._channel, event, encoded)
        if not self._after_commit(send):
            await send()

    async def follow(self, key: str, after: str = "") -> AsyncGenerator[LiveMessage, None]:
        """The messages of a key from now on, or those after a position, in order, each once.

        after: the id of the last message that was received. The first message is `live.start`, with the data
        `{"recovered": true}` when every message since is kept and follows; else, and wherever messages were lost
        later, `{"recovered": false}`: read what there is, the messages that follow are newer.

        It ends within a second after the tenant is suspended, the plugin switched off, `may_follow` says no, or the
        process is about to stop; while Redis is away it waits.

        Raises:
            NotFound: `may_follow` says no. ValueError: the key is not as it should be.
        """
        stream = self._stream(key)
        if not await self._allowed(key):
            raise NotFound
        check, end = partial(self._allowed, key), partial(self._hub.wake, stream)
        with self._rights.watching(self._tenant_id, self._user_id, check, end) as watched:
            messages = self._hub.follow(stream, self._channel, after, lambda: watched.ended)
            async with aclosing(messages):
                async for message in messages:
                    yield message

    def _stream(self, key: str) -> str:
        if not key or len(key.encode()) > _LONGEST_KEY or not key.isprintable():
            raise ValueError(f"a key of a live channel has 1 to {_LONGEST_KEY} bytes, all printable")
        plugin, _, what = self._channel.name.partition(".")
        return f"t:{self._tenant_id}:{plugin}/live:{what}:{key}"  # no cache key of a plugin begins so
