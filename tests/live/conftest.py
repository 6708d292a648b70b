"""Live channels on the embedded server and, where TEST_REDIS_URL names one, on Redis."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any
from uuid import UUID, uuid4

import pytest

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.cache.versions import Versions
from host.contracts import LiveChannel, LiveMessage
from host.live.hub import LiveHub
from host.live.namespace import LiveNamespace
from host.live.rights import RightsWatch

CHANNEL = LiveChannel("notes.changes", "What changes in notes", history=1000, seconds=60)


class Process:
    """What one process has of live channels: a client, a connection of its own, and the channel in each tenant."""

    def __init__(self, redis_client: RedisClient) -> None:
        self.redis_client = redis_client
        self.hub = LiveHub(redis_client)
        self.rights = RightsWatch(redis_client, Versions(redis_client))
        self.allowed = True

    def live(self, tenant_id: UUID, channel: LiveChannel = CHANNEL, user_id: UUID | None = None) -> LiveNamespace:
        async def allowed(key: str) -> bool:
            return self.allowed

        return LiveNamespace(
            self.hub,
            self.rights,
            channel,
            tenant_id,
            user_id=user_id,
            allowed=allowed,
            after_commit=lambda callback: False,
        )


NewProcess = Callable[[], Awaitable[Process]]


@pytest.fixture(params=["embedded", "redis"])
def redis_url(request: pytest.FixtureRequest, redis_server: EmbeddedRedis) -> str:
    if request.param == "embedded":
        return redis_server.url
    if not os.environ.get("TEST_REDIS_URL"):
        pytest.skip("TEST_REDIS_URL names no Redis")
    return os.environ["TEST_REDIS_URL"]


@pytest.fixture
async def new_process(redis_url: str, redis_server: EmbeddedRedis) -> AsyncIterator[NewProcess]:
    async with AsyncExitStack() as stack:

        async def make() -> Process:
            process = Process(RedisClient(redis_url, timeout=1.0))
            process.hub.start()
            process.rights.start()
            stack.push_async_callback(process.redis_client.close)
            stack.push_async_callback(process.hub.close)
            stack.push_async_callback(process.rights.stop)
            return process

        yield make


@pytest.fixture
def tenant_id() -> UUID:
    return uuid4()


async def take(live: LiveNamespace, number: int, after: str = "", key: str = "all") -> list[LiveMessage]:
    """The first messages of a new follower, the start included."""
    taken: list[LiveMessage] = []
    async with asyncio.timeout(20), aclosing(live.follow(key, after)) as messages:
        async for message in messages:
            taken.append(message)
            if len(taken) == number:
                break
    return taken


def recovered(message: LiveMessage) -> Any:
    assert message.event == "live.start"
    return message.data["recovered"]
