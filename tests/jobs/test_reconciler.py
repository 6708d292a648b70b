from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.contracts import Task
from host.data.database import Database
from host.jobs.models import Job, JobState
from host.jobs.reconciler import slot_of

Yard = Any


@pytest.fixture
def sends(yard: Yard) -> list[int]:
    """A task that notes what it was called with."""
    numbers: list[int] = []

    async def send(number: int = 0) -> None:
        numbers.append(number)

    yard.task(send)
    return numbers


def kill(server: EmbeddedRedis) -> None:
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_job_when_stored_but_never_pushed_then_runs(yard: Yard, sends: list[int]) -> None:
    await yard.runner().start()
    await yard.reconciler().start()
    job_id = await yard.store(arguments={"number": 7})
    await yard.until_state(job_id, JobState.DONE)
    assert sends == [7]


async def test_jobs_when_redis_is_emptied_then_all_run_once(
    yard: Yard, server: EmbeddedRedis, sends: list[int]
) -> None:
    for number in range(30):
        await yard.store(arguments={"number": number})
    await yard.wakeups.ring(30)
    redis_client = RedisClient(server.url)
    await redis_client.call("FLUSHALL")
    await redis_client.close()
    assert await yard.wakeups.waiting() == 0
    await yard.runner().start()
    await yard.reconciler().start()

    async def all_ran() -> bool:
        return await Job.filter(state=JobState.DONE).count() == 30

    await yard.until(all_ran)
    assert sorted(sends) == list(range(30))


async def test_jobs_when_redis_is_killed_and_comes_back_empty_then_all_run(
    yard: Yard, server: EmbeddedRedis, sends: list[int], tmp_path: Path
) -> None:
    await yard.runner().start()
    await yard.reconciler().start()
    await asyncio.sleep(0.2)
    kill(server)
    for number in range(20):  # accepted while there is no Redis at all
        await yard.store(arguments={"number": number})
        yard.wakeups.ring_soon()
    await asyncio.sleep(0.5)
    for file in (tmp_path / "redis" / "appendonlydir").iterdir():
        file.unlink()
    await server.start()

    async def all_ran() -> bool:
        return await Job.filter(state=JobState.DONE).count() == 20

    await yard.until(all_ran, 30)
    assert sorted(sends) == list(range(20))


async def test_ring_when_bells_are_waiting_then_only_missing_ones_are_rung(yard: Yard, sends: list[int]) -> None:
    for _ in range(5):
        await yard.store()
    await yard.store(run_at=datetime.now(UTC) + timedelta(hours=1))
    await yard.wakeups.ring(2)
    reconciler = yard.reconciler()
    assert await reconciler.ring() == 3
    assert await reconciler.ring() == 0
    assert await yard.wakeups.waiting() == 5


WORKER = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from host.contracts import Decision, Task
from host.data.database import Database
from host.jobs.wakeups import Wakeups
from host.jobs.executor import Executor
from host.jobs.job_store import JobStore
from host.jobs.runner import Runner

url, path, redis, mark = sys.argv[1:]

async def send(number=0):
    with open(mark, "a") as file:
        file.write(f"{number}\\n")
    await asyncio.sleep(60)

async def yes(tenant_id, plugin):
    return Decision(True, "")

async def main():
    apps = {"host": ("host.jobs.models",)}
    database = Database(url, path=Path(path), apps=apps, cursor_key=b"test")
    await database.open()
    with database.bind():
        job_store = JobStore(lease=timedelta(seconds=0.6))
        tasks = {"mail.send": Task("send", send, "")}
        runner = Runner(job_store, Executor(job_store, None), Wakeups(redis), tasks, yes, concurrency=5)
        await runner.start()
        await asyncio.sleep(120)

asyncio.run(main())
"""


async def test_jobs_when_worker_process_is_killed_then_run_again_after_their_lease(
    yard: Yard, server: EmbeddedRedis, database: Database, sends: list[int], tmp_path: Path
) -> None:
    for number in range(5):
        await yard.store(tenant_id=None, arguments={"number": number})
    await yard.wakeups.ring(5)
    script, mark = tmp_path / "worker.py", tmp_path / "begun"
    script.write_text(textwrap.dedent(WORKER))
    root = Path(__file__).parents[2]
    command = [sys.executable, str(script), database._url, str(database.path or ""), server.url, str(mark)]
    worker = await asyncio.create_subprocess_exec(*command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})

    async def begun() -> bool:
        return mark.exists() and len(mark.read_text().split()) == 5

    await yard.until(begun, 20)
    await asyncio.sleep(0.9)  # longer than the lease: signs of life keep the jobs
    assert await yard.job_store.abandoned() == []
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    assert await yard.job_store.abandoned() == [], "not before the lease is over"
    await yard.runner().start()
    await yard.reconciler().start()

    async def all_ran() -> bool:
        return await Job.filter(state=JobState.DONE).count() == 5

    await yard.until(all_ran)
    assert sorted(sends) == list(range(5))
    assert {job.attempts for job in await Job.all()} == {2}


async def test_abandoned_when_it_keeps_killing_its_worker_then_fails_in_the_end(yard: Yard, sends: list[int]) -> None:
    told: list[str] = []

    async def tell(job: Job, error: str) -> None:
        told.append(error)

    job_id, reconciler = await yard.store(), yard.reconciler(fail=yard.runner(failed=tell).fail)
    for _ in range(5):  # three tries of the task, two crashes forgiven
        assert await yard.job_store.claim("doomed") is not None
        yard.clock.ahead += timedelta(seconds=5)
        assert await reconciler.take_up_abandoned() == 1
    job = await yard.job(job_id)
    assert job.state == JobState.FAILED
    assert "doomed gave no sign of life any more at try 5" in job.error
    assert told == [job.error]


async def test_abandoned_when_task_has_one_try_then_runs_again_all_the_same(yard: Yard) -> None:
    async def send() -> None:
        yard.ran.append("sent")

    yard.task(send, tries=1)
    job_id = await yard.store()
    await yard.job_store.claim("killed")
    yard.clock.ahead += timedelta(seconds=5)
    await yard.reconciler().take_up_abandoned()
    assert await yard.runner().drain() == 1
    assert ((await yard.job(job_id)).state, yard.ran) == (JobState.DONE, ["sent"])


async def test_parked_when_plugin_may_run_again_then_unparked_by_itself(yard: Yard, sends: list[int]) -> None:
    yard.off["mail"] = "quarantined"
    known, unknown = await yard.store(), await yard.store("mail.unknown")
    await yard.runner().drain()
    reconciler = yard.reconciler()
    assert await reconciler.unpark() == 0
    del yard.off["mail"]
    assert await reconciler.unpark() == 1
    assert (await yard.job(known)).state == JobState.QUEUED
    assert (await yard.job(unknown)).state == JobState.PARKED, "its task is still unknown here"


async def test_schedule_when_several_schedulers_look_at_once_then_one_job_per_tenant_and_slot(yard: Yard) -> None:
    async def sweep() -> None:
        yard.ran.append("swept")

    yard.task(sweep, "mail.sweep", every=timedelta(hours=1))
    yard.task(sweep, "audit.sweep", every=timedelta(hours=1))
    yard.off["audit"] = "off"
    slot_start = (yard.clock().timestamp() // 3600) * 3600
    yard.clock.ahead = datetime.fromtimestamp(slot_start + 1800, UTC) - datetime.now(UTC)
    reconcilers = [yard.reconciler() for _ in range(4)]
    await asyncio.gather(*(one.fan_out() for one in reconcilers))
    await asyncio.gather(*(yard.reconciler().fan_out() for _ in range(3)))  # processes that start later in the slot
    jobs = await Job.all()
    assert sorted(job.tenant_id for job in jobs) == yard.tenants
    assert {job.task for job in jobs} == {"mail.sweep"}
    await yard.runner().drain()
    assert sum([await one.fan_out() for one in reconcilers]) == 0
    yard.clock.ahead += timedelta(hours=1)
    await asyncio.gather(*(one.fan_out() for one in reconcilers))
    assert await Job.filter(state=JobState.QUEUED).count() == 3
    assert await Job.all().count() == 6


async def test_schedule_when_storing_fails_then_next_look_makes_up_for_it(
    yard: Yard, sends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send() -> None: ...

    yard.task(send, every=timedelta(hours=1))
    reconciler, store = yard.reconciler(), yard.job_store.store

    async def failing(drafts: Any) -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(yard.job_store, "store", failing)
    await reconciler.look()
    monkeypatch.setattr(yard.job_store, "store", store)
    await reconciler.look()
    assert await Job.all().count() == 3


async def test_clean_when_scheduled_job_is_older_than_kept_but_its_slot_goes_on_then_its_key_stays(yard: Yard) -> None:
    async def sweep() -> None: ...

    yard.task(sweep, "mail.sweep", every=timedelta(days=30))
    first = yard.reconciler(keep=timedelta(days=1))
    slot = timedelta(days=30).total_seconds()
    slot_start = (yard.clock().timestamp() // slot) * slot
    yard.clock.ahead = datetime.fromtimestamp(slot_start + 60, UTC) - datetime.now(UTC)
    await first.fan_out()
    await yard.runner().drain()
    yard.clock.ahead += timedelta(days=10)
    again = yard.reconciler(keep=timedelta(days=1))
    await again.clean()
    await again.fan_out()
    assert await Job.filter(state=JobState.QUEUED).count() == 0, "ran twice in one slot"


def test_slot_when_time_goes_on_then_grows_by_one_per_period() -> None:
    async def run() -> None: ...

    task = Task("sweep", run, "", every=timedelta(minutes=15))
    start = datetime(2026, 1, 1, 0, 0, tzinfo=UTC)
    assert slot_of(task, start + timedelta(minutes=14, seconds=59)) == slot_of(task, start)
    assert slot_of(task, start + timedelta(minutes=15)) == slot_of(task, start) + 1
    with pytest.raises(ValueError, match="not on a schedule"):
        slot_of(Task("x", run, ""), start)
