from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from host.cache.client import RedisClient
from host.errors import RateLimited
from host.live import open_streams
from host.live.open_streams import OpenStreams


async def test_stream_when_one_too_many_over_two_processes_then_refused_until_one_is_closed(
    redis_client: RedisClient,
) -> None:
    here, there = OpenStreams(redis_client, 3), OpenStreams(redis_client, 3)
    async with AsyncExitStack() as stack:
        for each in (here, there, here):
            await stack.enter_async_context(each.opened("ada"))
        with pytest.raises(RateLimited) as refused:
            await stack.enter_async_context(there.opened("ada"))
        assert refused.value.details == {"limit": "rates.open_streams", "value": "3"}
        await stack.enter_async_context(there.opened("bob"))
        assert (len(here), len(there)) == (2, 2)
    async with here.opened("ada"):
        assert len(here) == 1
    assert await redis_client.call("KEYS", "streams:*") == []


async def test_stream_when_its_process_was_killed_then_it_counts_no_more_and_a_living_one_does(
    redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_streams, "_KEPT", 0.3)
    here, killed = OpenStreams(redis_client, 1), OpenStreams(redis_client, 1)
    lost = killed.opened("ada")
    await lost.__aenter__()
    await asyncio.sleep(0.4)
    async with here.opened("ada"):
        for _ in range(4):
            await asyncio.sleep(0.15)
            await here._renew()
        with pytest.raises(RateLimited):
            async with killed.opened("ada"):
                pass
    killed._open.clear()
