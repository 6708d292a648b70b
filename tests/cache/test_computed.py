"""Computed values: each computed once over tasks and processes, outdated by tags, and no harm without Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from host.cache.client import RedisClient
from host.cache.computed import LARGEST, ComputedValues, tag_command
from host.cache.embedded import EmbeddedRedis


class Counted:
    """A computation that counts how often it ran."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.runs, self.seconds = 0, seconds

    async def __call__(self) -> dict[str, int]:
        self.runs += 1
        run = self.runs
        await asyncio.sleep(self.seconds)
        return {"run": run}


@pytest.fixture
async def two(redis_client: RedisClient) -> AsyncIterator[tuple[ComputedValues, ComputedValues]]:
    """What two processes have."""
    one, other = ComputedValues(redis_client), ComputedValues(redis_client)
    yield one, other
    await one.close()
    await other.close()


Two = tuple[ComputedValues, ComputedValues]


async def test_value_when_kept_then_computed_once_for_all_processes(two: Two) -> None:
    make = Counted()
    for values in (*two, *two):
        assert await values.get("k", make, ttl=60) == {"run": 1}
    assert await two[0].get("other", make, ttl=60) == {"run": 2}


async def test_value_when_100_ask_two_processes_at_once_then_computed_once(two: Two) -> None:
    make = Counted(0.2)
    answers = await asyncio.gather(*(values.get("k", make, ttl=60) for values in two for _ in range(50)))
    assert make.runs == 1
    assert answers == [{"run": 1}] * 100


async def test_value_when_its_time_is_up_then_computed_anew_or_once_more_stale(two: Two) -> None:
    make = Counted()
    assert await two[0].get("k", make, ttl=0.05, stale=60) == {"run": 1}
    await asyncio.sleep(0.06)
    make.seconds = 0.1
    began = time.monotonic()
    answers = await asyncio.gather(*(values.get("k", make, ttl=60, stale=60) for values in two for _ in range(10)))
    assert answers == [{"run": 1}] * 20
    assert time.monotonic() - began < 0.09
    await asyncio.sleep(0.2)
    assert make.runs == 2
    assert await two[1].get("k", make, ttl=60) == {"run": 2}


async def test_value_when_a_tag_is_dropped_then_computed_anew_even_if_dropped_while_computing(
    two: Two, redis_client: RedisClient
) -> None:
    make = Counted()
    for run in (1, 1, 2, 2):
        if make.runs == 1 and run == 2:
            await redis_client.call(*tag_command("tag:a"))
        assert await two[0].get("k", make, tags=("tag:a", "tag:b"), ttl=60, stale=60) == {"run": run}
    make.seconds = 0.1
    await redis_client.call(*tag_command("tag:b"))
    computing = asyncio.create_task(two[0].get("k", make, tags=("tag:a", "tag:b"), ttl=60))
    await asyncio.sleep(0.05)
    await redis_client.call(*tag_command("tag:b"))
    assert await computing == {"run": 3}
    assert await two[1].get("k", make, tags=("tag:a", "tag:b"), ttl=60) == {"run": 4}


async def test_value_when_kept_locally_then_redis_is_not_asked_and_nobody_changes_it_for_others(
    two: Two, redis_client: RedisClient
) -> None:
    make = Counted()
    first = await two[0].get("k", make, ttl=60, local=60)
    first["run"] = 99
    await redis_client.call("DEL", "k")
    assert await two[0].get("k", make, ttl=60, local=60) == {"run": 1}
    assert await two[1].get("k", make, ttl=60, local=60) == {"run": 2}
    small = ComputedValues(redis_client, most_local=2)
    for number in range(10):
        await small.get(f"k{number}", make, ttl=60, local=60)
    assert len(small._local) == 2


async def test_value_when_computing_fails_then_everybody_hears_it_and_the_next_tries_again(two: Two) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.05)
        raise RuntimeError("no figures")

    ends = await asyncio.gather(*(two[0].get("k", fail, ttl=60) for _ in range(5)), return_exceptions=True)
    assert [str(end) for end in ends] == ["no figures"] * 5
    assert await two[1].get("k", Counted(), ttl=60) == {"run": 1}


async def test_value_when_the_first_to_ask_leaves_then_the_others_still_get_it(two: Two) -> None:
    make = Counted(0.1)
    first, second = (asyncio.create_task(two[0].get("k", make, ttl=60)) for _ in range(2))
    await asyncio.sleep(0.02)
    first.cancel()
    assert await second == {"run": 1}


async def test_value_when_it_is_not_json_or_too_large_then_refused_or_not_kept(two: Two) -> None:
    async def make_wrong() -> object:
        return object()

    async def make_large() -> str:
        return "x" * (LARGEST + 1)

    with pytest.raises(TypeError):
        await two[0].get("k", make_wrong, ttl=60)
    assert await two[0].get("k", make_large, ttl=60) == "x" * (LARGEST + 1)
    assert await two[0].get("k", Counted(), ttl=60) == {"run": 1}


async def test_value_when_read_back_then_of_the_same_types_as_the_first_time(two: Two) -> None:
    async def make() -> dict[str, object]:
        return {"id": uuid7(), "at": datetime.now(UTC), "n": (1, 2)}

    assert await two[0].get("k", make, ttl=60) == await two[1].get("k", make, ttl=60)


@pytest.mark.parametrize("times", [{"ttl": 0}, {"ttl": -1}, {"ttl": 86_401}, {"ttl": 80_000, "stale": 10_000}])
async def test_value_when_its_times_cannot_be_then_refused(two: Two, times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="ttl"):
        await two[0].get("k", Counted(), **times)


async def test_value_when_redis_is_away_then_computed_each_time(
    redis_client: RedisClient, redis_server: EmbeddedRedis
) -> None:
    values, make = ComputedValues(redis_client), Counted()
    await redis_server.stop()
    for run in (1, 2):
        assert await values.get("k", make, ttl=60) == {"run": run}
