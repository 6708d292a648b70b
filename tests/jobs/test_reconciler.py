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
from host.jobs.schedule import slot_of

JobSetup = Any


@pytest.fixture
def sends(job_setup: JobSetup) -> list[int]:
    """A task that notes what it was called with."""
    numbers: list[int] = []

    async def send(number: int = 0) -> None:
        numbers.append(number)

    job_setup.task(send)
    return numbers


def kill(redis_server: EmbeddedRedis) -> None:
    pid = redis_server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_job_when_stored_but_never_pushed_then_runs(job_setup: JobSetup, sends: list[int]) -> None:
    await job_setup.runner().start()
    await job_setup.reconciler().start()
    job_id = await job_setup.store(arguments={"number": 7})
    await job_setup.until_state(job_id, JobState.DONE)
    assert sends == [7]


async def test_jobs_when_redis_is_emptied_then_all_run_once(
    job_setup: JobSetup, redis_server: EmbeddedRedis, sends: list[int]
) -> None:
    for number in range(30):
        await job_setup.store(arguments={"number": number})
    await job_setup.wakeups.wake(30)
    redis_client = RedisClient(redis_server.url)
    await redis_client.call("FLUSHALL")
    await redis_client.close()
    assert await job_setup.wakeups.waiting() == 0
    await job_setup.runner().start()
    await job_setup.reconciler().start()

    async def all_ran() -> bool:
        return await Job.filter(state=JobState.DONE).count() == 30

    await job_setup.until(all_ran)
    assert sorted(sends) == list(range(30))


async def test_jobs_when_redis_is_killed_and_comes_back_empty_then_all_run(
    job_setup: JobSetup, redis_server: EmbeddedRedis, sends: list[int], tmp_path: Path
) -> None:
    await job_setup.runner().start()
    await job_setup.reconciler().start()
    await asyncio.sleep(0.2)
    kill(redis_server)
    for number in range(20):  # accepted while there is no Redis at all
        await job_setup.store(arguments={"number": number})
        job_setup.wakeups.wake_soon()
    await asyncio.sleep(0.5)
    for file in (tmp_path / "redis" / "appendonlydir").iterdir():
        file.unlink()
    await redis_server.start()

    async def all_ran() -> bool:
        return await Job.filter(state=JobState.DONE).count() == 20

    await job_setup.until(all_ran, 30)
    assert sorted(sends) == list(range(20))


async def test_wakeup_when_wakeups_are_waiting_then_only_missing_ones_are_sent(
    job_setup: JobSetup, sends: list[int]
) -> None:
    for _ in range(5):
        await job_setup.store()
    await job_setup.store(run_at=datetime.now(UTC) + timedelta(hours=1))
    await job_setup.wakeups.wake(2)
    reconciler = job_setup.reconciler()
    assert await reconciler.wake() == 3
    assert await reconciler.wake() == 0
    assert await job_setup.wakeups.waiting() == 5


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
    job_setup: JobSetup, redis_server: EmbeddedRedis, database: Database, sends: list[int], tmp_path: Path
) -> None:
    for number in range(5):
        await job_setup.store(tenant_id=None, arguments={"number": number})
    await job_setup.wakeups.wake(5)
    script, mark = tmp_path / "worker.py", tmp_path / "begun"
    script.write_text(textwrap.dedent(WORKER))
    root = Path(__file__).parents[2]
    command = [sys.executable, str(script), database._url, str(database.path or ""), redis_server.url, str(mark)]
    worker = await asyncio.create_subprocess_exec(*command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})

    async def begun() -> bool:
        return mark.exists() and len(mark.read_text().split()) == 5

    await job_setup.until(begun, 20)
    await asyncio.sleep(0.9)  # longer than the lease: signs of life keep the jobs
    assert await job_setup.job_store.abandoned() == []
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    assert await job_setup.job_store.abandoned() == [], "not before the lease is over"
    await job_setup.runner().start()
    await job_setup.reconciler().start()

    async def all_ran() -> bool:
        return await Job.filter(state=JobState.DONE).count() == 5

    await job_setup.until(all_ran)
    assert sorted(sends) == list(range(5))
    assert {job.attempts for job in await Job.all()} == {2}


async def test_abandoned_when_it_keeps_killing_its_worker_then_fails_in_the_end(
    job_setup: JobSetup, sends: list[int]
) -> None:
    told: list[str] = []

    async def tell(job: Job, error: str) -> None:
        told.append(error)

    job_id, reconciler = await job_setup.store(), job_setup.reconciler(fail=job_setup.runner(failed=tell).fail)
    for _ in range(5):  # three tries of the task, two crashes forgiven
        assert await job_setup.job_store.claim("doomed") is not None
        job_setup.clock.ahead += timedelta(seconds=5)
        assert await reconciler.take_up_abandoned() == 1
    job = await job_setup.job(job_id)
    assert job.state == JobState.FAILED
    assert "doomed gave no sign of life any more at try 5" in job.error
    assert told == [job.error]


async def test_abandoned_when_task_has_one_try_then_runs_again_all_the_same(job_setup: JobSetup) -> None:
    async def send() -> None:
        job_setup.ran.append("sent")

    job_setup.task(send, tries=1)
    job_id = await job_setup.store()
    await job_setup.job_store.claim("killed")
    job_setup.clock.ahead += timedelta(seconds=5)
    await job_setup.reconciler().take_up_abandoned()
    assert await job_setup.runner().drain() == 1
    assert ((await job_setup.job(job_id)).state, job_setup.ran) == (JobState.DONE, ["sent"])


async def test_parked_when_plugin_may_run_again_then_unparked_by_itself(job_setup: JobSetup, sends: list[int]) -> None:
    job_setup.off["mail"] = "quarantined"
    known, unknown = await job_setup.store(), await job_setup.store("mail.unknown")
    await job_setup.runner().drain()
    reconciler = job_setup.reconciler()
    assert await reconciler.unpark() == 0
    del job_setup.off["mail"]
    assert await reconciler.unpark() == 1
    assert (await job_setup.job(known)).state == JobState.QUEUED
    assert (await job_setup.job(unknown)).state == JobState.PARKED, "its task is still unknown here"


async def test_schedule_when_several_schedulers_look_at_once_then_one_job_per_tenant_and_slot(
    job_setup: JobSetup,
) -> None:
    async def sweep() -> None:
        job_setup.ran.append("swept")

    job_setup.task(sweep, "mail.sweep", every=timedelta(hours=1))
    job_setup.task(sweep, "audit.sweep", every=timedelta(hours=1))
    job_setup.off["audit"] = "off"
    slot_start = (job_setup.clock().timestamp() // 3600) * 3600
    job_setup.clock.ahead = datetime.fromtimestamp(slot_start + 1800, UTC) - datetime.now(UTC)
    reconcilers = [job_setup.reconciler() for _ in range(4)]
    await asyncio.gather(*(one.fan_out() for one in reconcilers))
    await asyncio.gather(
        *(job_setup.reconciler().fan_out() for _ in range(3))
    )  # processes that start later in the slot
    jobs = await Job.all()
    assert sorted(job.tenant_id for job in jobs) == job_setup.tenants
    assert {job.task for job in jobs} == {"mail.sweep"}
    await job_setup.runner().drain()
    assert sum([await one.fan_out() for one in reconcilers]) == 0
    job_setup.clock.ahead += timedelta(hours=1)
    await asyncio.gather(*(one.fan_out() for one in reconcilers))
    assert await Job.filter(state=JobState.QUEUED).count() == 3
    assert await Job.all().count() == 6


async def test_schedule_when_storing_fails_then_next_look_makes_up_for_it(
    job_setup: JobSetup, sends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send() -> None: ...

    job_setup.task(send, every=timedelta(hours=1))
    reconciler, store = job_setup.reconciler(), job_setup.job_store.store

    async def failing(drafts: Any) -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(job_setup.job_store, "store", failing)
    await reconciler.look()
    monkeypatch.setattr(job_setup.job_store, "store", store)
    await reconciler.look()
    assert await Job.all().count() == 3


async def test_clean_when_scheduled_job_is_older_than_kept_but_its_slot_goes_on_then_its_key_stays(
    job_setup: JobSetup,
) -> None:
    async def sweep() -> None: ...

    job_setup.task(sweep, "mail.sweep", every=timedelta(days=30))
    first = job_setup.reconciler(keep=timedelta(days=1))
    slot = timedelta(days=30).total_seconds()
    slot_start = (job_setup.clock().timestamp() // slot) * slot
    job_setup.clock.ahead = datetime.fromtimestamp(slot_start + 60, UTC) - datetime.now(UTC)
    await first.fan_out()
    await job_setup.runner().drain()
    job_setup.clock.ahead += timedelta(days=10)
    again = job_setup.reconciler(keep=timedelta(days=1))
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
