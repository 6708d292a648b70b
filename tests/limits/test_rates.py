from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.errors import Unavailable
from host.limits.rates import Bucket, Rates


async def test_take_when_200_ask_at_once_with_100_allowed_then_exactly_100_get_it(redis_server: EmbeddedRedis) -> None:
    clients = [RedisClient(redis_server.url) for _ in range(4)]
    bucket = Bucket("one", limit=100, seconds=60)
    taken = await asyncio.gather(*(Rates(clients[n % 4]).take([bucket]) for n in range(200)))
    assert sum(one.allowed for one in taken) == 100
    assert sorted(one.remaining for one in taken if one.allowed) == list(range(100))
    for redis_client in clients:
        await redis_client.close()


async def test_take_when_one_of_several_buckets_is_full_then_none_counts(redis_client: RedisClient) -> None:
    rates = Rates(redis_client)
    wide, narrow = Bucket("wide", 10, 60), Bucket("narrow", 1, 30)
    first = await rates.take([wide, narrow])
    assert (first.allowed, first.bucket, first.remaining, first.reset_seconds) == (True, 1, 0, 30)
    for _ in range(5):
        refused = await rates.take([wide, narrow])
        assert (refused.allowed, refused.bucket, refused.remaining) == (False, 1, 0)
    assert await rates.peek(wide) == 1


async def test_take_when_window_is_over_then_counts_from_the_first_use_again(redis_client: RedisClient) -> None:
    rates, bucket = Rates(redis_client), Bucket("short", 2, 0.15)
    assert [(await rates.take([bucket])).allowed for _ in range(3)] == [True, True, False]
    await asyncio.sleep(0.1)
    assert not (await rates.take([bucket])).allowed, (
        "a refused use must not prolong the window, nor a later one begin it"
    )
    await asyncio.sleep(0.08)
    assert (await rates.take([bucket])).allowed


async def test_take_when_cost_does_not_fit_then_refused_and_smaller_one_fits(redis_client: RedisClient) -> None:
    rates = Rates(redis_client)
    assert (await rates.take([Bucket("bytes", 10, 60, cost=7)])).remaining == 3
    assert not (await rates.take([Bucket("bytes", 10, 60, cost=4)])).allowed
    assert (await rates.take([Bucket("bytes", 10, 60, cost=3)])).remaining == 0


async def test_take_when_counter_lost_its_expiry_then_it_does_not_stay_full_for_ever(redis_client: RedisClient) -> None:
    await redis_client.call("SET", "rate:stuck", 5)
    assert not (await Rates(redis_client).take([Bucket("stuck", 5, 0.1)])).allowed
    await asyncio.sleep(0.15)
    assert (await Rates(redis_client).take([Bucket("stuck", 5, 0.1)])).allowed


async def test_take_when_version_keys_are_asked_then_read_even_when_refused(redis_client: RedisClient) -> None:
    rates = Rates(redis_client)
    await redis_client.call("SET", "v:1", b"\x00one\xff")
    assert (await rates.take([], ["v:0", "v:1", "v:2"])).versions == [None, b"\x00one\xff", None]
    full = Bucket("none", 0, 60)
    refused = await rates.take([full], ["v:1", "v:0"])
    assert (refused.allowed, refused.versions) == (False, [b"\x00one\xff", None])


async def test_take_when_rates_and_versions_are_wanted_then_one_round_trip(redis_server: EmbeddedRedis) -> None:
    async with counting_proxy(redis_server) as (url, trips):
        redis_client = RedisClient(url)
        rates = Rates(redis_client)
        await rates.take([Bucket("warm", 5, 60)], ["v:1"])
        trips.clear()
        taken = await rates.take([Bucket("a", 5, 60), Bucket("b", 5, 60)], ["v:1", "v:2"])
        assert taken.allowed
        assert len(trips) == 1
        await redis_client.close()


async def test_take_when_server_forgot_the_script_then_still_works(redis_client: RedisClient) -> None:
    rates, bucket = Rates(redis_client), Bucket("a", 5, 60)
    await rates.take([bucket])
    await redis_client.call("SCRIPT", "FLUSH")
    assert (await rates.take([bucket])).remaining == 3


async def test_forget_when_called_then_bucket_is_empty(redis_client: RedisClient) -> None:
    rates, bucket = Rates(redis_client), Bucket("a", 1, 60)
    await rates.take([bucket])
    await rates.forget("a")
    assert (await rates.take([bucket])).allowed


async def test_take_when_redis_is_away_then_unavailable(redis_server: EmbeddedRedis) -> None:
    await redis_server.stop()
    redis_client = RedisClient(redis_server.url)
    with pytest.raises(Unavailable):
        await Rates(redis_client).take([Bucket("a", 1, 60)])
    await redis_client.close()


@asynccontextmanager
async def counting_proxy(redis_server: EmbeddedRedis) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Forwards bytes to the server and keeps each piece that the client sent."""
    trips: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[bytes] | None) -> None:
        while piece := await reader.read(65536):
            if seen is not None:
                seen.append(piece)
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_unix_connection(redis_server.url.removeprefix("unix://"))
        await asyncio.gather(pump(reader, back_writer, trips), pump(back_reader, writer, None))

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{proxy.sockets[0].getsockname()[1]}", trips
    proxy.close()
    await proxy.wait_closed()
    await asyncio.sleep(0.05)
