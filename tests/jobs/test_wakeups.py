from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.errors import Unavailable
from host.jobs.wakeups import Wakeups


@pytest.fixture
async def wakeups(redis_server: EmbeddedRedis) -> AsyncIterator[Wakeups]:
    made = Wakeups(redis_server.url, timeout=0.5, longest_task=1)
    yield made
    await made.close()


async def test_wakeup_when_worker_listens_then_it_answers_that_often_and_leaves_nothing_behind(
    redis_server: EmbeddedRedis, wakeups: Wakeups
) -> None:
    answers: list[float] = []

    async def answer() -> None:
        answers.append(time.monotonic())

    worker = wakeups.worker(answer, concurrency=3, name="w")
    assert worker.SIGNALS == []
    listening = asyncio.create_task(worker.start())
    await wakeups.wake(25)
    async with asyncio.timeout(10):
        while len(answers) < 25:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    redis_client = RedisClient(redis_server.url)
    assert await redis_client.call("KEYS", "saq:*") == []
    await redis_client.close()
    await worker.stop()
    await listening


async def test_wakeup_when_redis_is_away_then_unavailable_and_ring_soon_only_logs(
    redis_server: EmbeddedRedis, wakeups: Wakeups, caplog: pytest.LogCaptureFixture
) -> None:
    await redis_server.stop()
    with pytest.raises(Unavailable):
        await wakeups.wake()
    with pytest.raises(Unavailable):
        await wakeups.waiting()
    wakeups.wake_soon(3)
    await asyncio.sleep(0.3)
    assert "workers could not be woken" in caplog.text


async def test_wakeup_when_redis_is_frozen_then_unavailable_within_the_timeout(
    redis_server: EmbeddedRedis, wakeups: Wakeups
) -> None:
    await wakeups.wake()
    pid = redis_server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            await wakeups.wake()
        with pytest.raises(Unavailable):
            await wakeups.waiting()
        assert time.monotonic() - begun < 1.5
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await wakeups.waiting() >= 1


async def test_worker_when_redis_goes_and_comes_back_then_calm_meanwhile_and_answers_again(
    redis_server: EmbeddedRedis, wakeups: Wakeups, caplog: pytest.LogCaptureFixture
) -> None:
    answered = asyncio.Event()

    async def answer() -> None:
        answered.set()

    worker = wakeups.worker(answer, concurrency=5, name="w")
    listening = asyncio.create_task(worker.start())
    await asyncio.sleep(0.2)
    await redis_server.stop()
    cpu = time.process_time()
    await asyncio.sleep(2)
    assert time.process_time() - cpu < 0.8, "asks without a pause while Redis is away"
    assert "Upkeep task failed" not in caplog.text
    await redis_server.start()
    await wakeups.wake()
    async with asyncio.timeout(10):
        await answered.wait()
    await worker.stop()
    await listening


async def test_sweep_when_messages_of_dead_workers_are_left_then_forgotten(
    redis_server: EmbeddedRedis, wakeups: Wakeups
) -> None:
    await wakeups.wake(3)
    redis_client = RedisClient(redis_server.url)
    for _ in range(2):  # taken by a worker that died before it began
        await redis_client.call("LMOVE", "saq:jobs:queued", "saq:jobs:active", "LEFT", "RIGHT")
    assert await wakeups._queue.sweep() == [], "just taken: perhaps its worker is about to begin"
    bell_message = wakeups._queue
    real = await bell_message.redis.lrange("saq:jobs:active", 0, -1)
    for message in real:
        job = await bell_message._get_job_by_id(message)
        assert job is not None
        job.queued -= 120_000
        await bell_message.redis.set(message, bell_message.serialize(job))
    assert len(await wakeups._queue.sweep()) == 2
    assert await wakeups.waiting() == 1
    assert await redis_client.call("ZCARD", "saq:jobs:incomplete") == 1
    await redis_client.close()
