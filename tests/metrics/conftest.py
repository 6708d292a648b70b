"""A Redis of the test's own, which it may stop, freeze and kill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    embedded = EmbeddedRedis(tmp_path / "redis")
    await embedded.start()
    yield embedded
    await embedded.stop()


@pytest.fixture
async def redis_client(server: EmbeddedRedis) -> AsyncIterator[RedisClient]:
    connected = RedisClient(server.url, timeout=1.0)
    yield connected
    await connected.close()
