"""Live channels: what publishing costs, how soon followers hear, hops between processes, and what open streams weigh.

`python -m benchmarks.live` prints a table. Followers are in processes of their own on one embedded Redis; times are by
the clock that all processes share, so a busy machine shows in them: run it alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from uuid import UUID

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.cache.versions import Versions
from host.contracts import LiveChannel
from host.live.hub import LiveHub
from host.live.namespace import LiveNamespace
from host.live.rights import RightsWatch

TENANT = UUID(int=7)
CHANNEL = LiveChannel("bench.messages", "Measured")
FOLLOWERS, PER_SECOND, SECONDS, STREAMS = 50, 200, 10, 1000


class Process:
    """What one process has of live channels."""

    def __init__(self, url: str) -> None:
        self.redis_client = RedisClient(url)
        self.hub, self.rights = LiveHub(self.redis_client), RightsWatch(self.redis_client, Versions(self.redis_client))
        self.hub.start()
        self.rights.start()

    def live(self) -> LiveNamespace:
        async def allowed(key: str) -> bool:
            return True

        return LiveNamespace(
            self.hub, self.rights, CHANNEL, TENANT, user_id=None, allowed=allowed, after_commit=lambda callback: False
        )

    async def close(self) -> None:
        await self.rights.stop()
        await self.hub.close()
        await self.redis_client.close()


async def follow(url: str) -> None:
    """Half of the followers, each of which leaves and comes back at random; prints what they heard, and when."""
    process, delays, total = Process(url), list[float](), PER_SECOND * SECONDS
    wrong = reconnections = 0

    async def one(number: int, begun: str) -> int:
        nonlocal reconnections
        chance, position, expected, lost = random.Random(number), begun, 0, 0
        while expected < total:
            until = expected + chance.randint(20, 200)
            async with aclosing(process.live().follow("hops", position)) as messages:
                reconnections += 1
                async for message in messages:
                    if message.event == "live.start":
                        lost += not message.data["recovered"]
                        continue
                    number, sent = message.data
                    lost += number != expected
                    delays.append(time.time() - sent)
                    expected, position = number + 1, message.id
                    if expected >= min(until, total):
                        break
        return lost

    print("ready", flush=True)
    begun = sys.stdin.readline().strip()
    wrong = sum(await asyncio.gather(*(one(number, begun) for number in range(FOLLOWERS // 2))))
    await process.close()
    print(json.dumps({"delays": delays, "wrong": wrong, "reconnections": reconnections}))


async def hops(process: Process, url: str) -> None:
    async with aclosing(process.live().follow("hops")) as messages:
        begun = (await anext(messages)).id
    command = [sys.executable, "-m", "benchmarks.live", "follow", url]
    pipe = asyncio.subprocess.PIPE
    followers = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in range(2)]
    for each in followers:
        assert each.stdout is not None
        await each.stdout.readline()
    results = [asyncio.create_task(each.communicate(f"{begun}\n".encode())) for each in followers]
    await asyncio.sleep(1)
    began, spent = time.monotonic(), list[float]()
    for number in range(PER_SECOND * SECONDS):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        now = time.perf_counter()
        await process.live().publish("hops", "n", [number, time.time()])
        spent.append(time.perf_counter() - now)
    heard = [json.loads((await each)[0]) for each in results]
    delays = sorted(delay for each in heard for delay in each["delays"])
    spent.sort()
    show("publish p50, p99", f"{_at(spent, 0.5):.2f}, {_at(spent, 0.99):.2f} ms", "≤ 1 ms")
    show("published a second", f"{PER_SECOND}, heard by {FOLLOWERS} followers in 2 processes", "")
    show("reconnections", str(sum(each["reconnections"] for each in heard)), "≥ 50")
    show("lost, doubled or out of order", str(sum(each["wrong"] for each in heard)), "0")
    show("heard of expected", f"{len(delays)} of {PER_SECOND * SECONDS * FOLLOWERS}", "all")
    show("sent to heard p50, p99", f"{_at(delays, 0.5):.1f}, {_at(delays, 0.99):.1f} ms", "p99 < 150 ms")


async def streams(process: Process) -> None:
    before, cpu = _memory(), time.process_time()
    opened = [process.live().follow(f"person-{number}") for number in range(STREAMS)]
    for messages in opened:
        await anext(messages)
    grown = _memory() - before
    show(f"{STREAMS} streams of one key each", f"+ {grown:.1f} MB, {time.process_time() - cpu:.2f} s CPU to open", "")
    cpu = time.process_time()
    await asyncio.sleep(5)
    show("the same, idle", f"{(time.process_time() - cpu) / 5 * 100:.1f} % of a core", "")
    for messages in opened:
        await messages.aclose()


def _memory() -> float:
    """What this process holds in memory, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def _at(values: list[float], share: float) -> float:
    """A quantile, in milliseconds."""
    return values[min(len(values) - 1, int(len(values) * share))] * 1000


def show(what: str, measured: str, goal: str) -> None:
    print(f"{what:<34}{measured:<48}{goal}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        redis = EmbeddedRedis(Path(folder) / "redis")
        await redis.start()
        process = Process(redis.url)
        try:
            await hops(process, redis.url)
            await streams(process)
        finally:
            await process.close()
            await redis.stop()


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[2]) if sys.argv[1:2] == ["follow"] else main())
