from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from host.cache.client import RedisClient, Refused
from host.cache.embedded import EmbeddedRedis
from host.errors import ConfigurationError, Unavailable


@contextmanager
def frozen(redis_server: EmbeddedRedis) -> Iterator[None]:
    pid = redis_server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_calls_when_many_are_in_flight_then_each_gets_its_own_answer(redis_client: RedisClient) -> None:
    answers = await asyncio.gather(*(redis_client.call("ECHO", f"word{number}") for number in range(2000)))
    assert answers == [f"word{number}".encode() for number in range(2000)]


async def test_calls_when_one_trip_holds_several_then_answers_keep_their_order(redis_client: RedisClient) -> None:
    assert await redis_client.calls([("SET", "a", 1), ("INCR", "a"), ("GET", "a"), ("GET", "none")]) == [
        b"OK",
        2,
        b"2",
        None,
    ]


async def test_call_when_cancelled_in_flight_then_its_answer_goes_to_nobody(redis_client: RedisClient) -> None:
    for number in range(100):
        doomed = [asyncio.create_task(redis_client.call("ECHO", f"doomed{number}-{part}")) for part in range(5)]
        kept = asyncio.create_task(redis_client.call("ECHO", f"kept{number}"))
        await asyncio.sleep(0)
        for task in doomed:
            task.cancel()
        assert await kept == f"kept{number}".encode()
        assert await redis_client.call("ECHO", f"next{number}") == f"next{number}".encode()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*doomed, return_exceptions=True)
        )


async def test_call_when_cancelled_while_frozen_then_next_caller_gets_its_own_answer(
    redis_server: EmbeddedRedis, redis_client: RedisClient
) -> None:
    await redis_client.call("SET", "secret", "of another")
    with frozen(redis_server):
        doomed = asyncio.create_task(redis_client.call("GET", "secret"))
        await asyncio.sleep(0.05)
        doomed.cancel()
        waiting = asyncio.create_task(redis_client.call("ECHO", "mine"))
        await asyncio.sleep(0.05)
    assert await waiting == b"mine"


async def test_call_when_server_is_frozen_then_unavailable_within_the_timeout(
    redis_server: EmbeddedRedis, redis_client: RedisClient
) -> None:
    await redis_client.ping()
    with frozen(redis_server):
        begun = time.monotonic()
        ends = await asyncio.gather(*(redis_client.call("GET", "a") for _ in range(50)), return_exceptions=True)
        assert time.monotonic() - begun < 1.5
        assert all(isinstance(end, Unavailable) and end.headers["Retry-After"] for end in ends)
        begun = time.monotonic()  # and a new connection to the frozen server is not waited for longer either
        with pytest.raises(Unavailable):
            await redis_client.call("GET", "a")
        assert time.monotonic() - begun < 1.5
    await asyncio.sleep(0.3)
    assert await redis_client.call("ECHO", "back") == b"back"


async def test_call_when_nobody_listens_then_unavailable_and_back_when_started(
    redis_server: EmbeddedRedis,
) -> None:
    url = redis_server.url
    await redis_server.stop()
    redis_client = RedisClient(url)
    begun = time.monotonic()
    for _ in range(20):
        with pytest.raises(Unavailable):
            await redis_client.call("GET", "a")
    assert time.monotonic() - begun < 0.5
    await redis_server.start()
    await asyncio.sleep(1.1)
    assert await redis_client.call("GET", "a") is None
    await redis_client.close()


async def test_call_when_server_restarts_while_idle_then_next_call_works(
    redis_server: EmbeddedRedis, redis_client: RedisClient
) -> None:
    await redis_client.call("SET", "a", "1")
    await redis_server.stop()
    await redis_server.start()
    await asyncio.sleep(0.05)
    assert await redis_client.call("GET", "a") == b"1"


async def test_call_when_server_says_no_then_refused_with_its_code(redis_client: RedisClient) -> None:
    with pytest.raises(Refused) as refused:
        await redis_client.call("INCRBY", "a", "word")
    assert refused.value.code == "ERR"
    await redis_client.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(Unavailable, match="OOM"):
        await redis_client.call("SET", "a", "b")


async def test_call_when_first_caller_is_cancelled_while_connecting_then_others_are_served(
    redis_client: RedisClient,
) -> None:
    first = asyncio.create_task(redis_client.call("ECHO", "first"))
    second = asyncio.create_task(redis_client.call("ECHO", "second"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"second"


async def test_call_when_password_and_database_are_in_the_url_then_used(
    redis_server: EmbeddedRedis, redis_client: RedisClient
) -> None:
    await redis_client.call("CONFIG", "SET", "requirepass", "s3cret/word")
    wrong = RedisClient(redis_server.url)
    with pytest.raises(Unavailable):
        await wrong.call("GET", "a")
    right = RedisClient(redis_server.url.replace("unix://", "unix://:s3cret%2Fword@") + "?db=3")
    await right.call("SET", "a", "three")
    assert b"db=3" in await right.call("CLIENT", "LIST")
    await right.call("CONFIG", "SET", "requirepass", "")
    await wrong.close()
    await right.close()


@pytest.mark.parametrize(
    "url", ["", "http://somewhere", "redis://", "unix://", "redis://host/word", "redis://host:word/0"]
)
def test_url_when_not_understood_then_configuration_error_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigurationError, match="redis://host:6379/0"):
        RedisClient(url)
