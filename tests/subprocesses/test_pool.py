from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from host.services import in_subprocess
from host.subprocesses import pool as pools
from host.subprocesses.pool import SubprocessError, SubprocessPool
from host.testing import TestApplication
from tests.subprocesses import work

MEMORY = 512 * 1024**2


@pytest.fixture
async def pool() -> AsyncIterator[SubprocessPool]:
    made = SubprocessPool(2)
    yield made
    await made.close()


async def run(pool: SubprocessPool, function: Callable[..., Any], *args: Any, seconds: float = 20.0) -> Any:
    return await pool.run(function, args, seconds, MEMORY)


async def test_function_when_run_then_its_plain_values_come_back_from_another_process(pool: SubprocessPool) -> None:
    found = await run(pool, work.double, b"x" * 3_000_000)
    assert found["content"] == b"x" * 6_000_000
    assert found["sizes"] == [3_000_000, 1.5, None, True, ("a", {"b"})]
    first, again = await run(pool, work.process_id), await run(pool, work.process_id)
    assert first == again != os.getpid()


@pytest.mark.parametrize(
    ("function", "args", "reason", "message"),
    [
        (work.refuse, ("a",), "raised", "refuse raised ValueError: no image: a"),
        (work.grow, (), "memory", "grow needed more than 512 MB of memory"),
        (work.crash, (), "crashed", "the process of crash was ended by SIGSEGV"),
        (work.kill_itself, (), "crashed", "the process of kill_itself was ended by SIGKILL"),
        (work.leave, (3,), "crashed", "the process of leave exited with 3"),
        (work.no_plain_value, (), "raised", "the result holds a pathlib.PosixPath; give back plain values"),
        (work.garbage, (), "crashed", "the process of garbage gave an answer that cannot be read"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_function_when_it_fails_then_said_how_and_the_next_one_runs(
    pool: SubprocessPool, function: Any, args: tuple[Any, ...], reason: str, message: str
) -> None:
    with pytest.raises(SubprocessError) as failed:
        await run(pool, function, *args)
    assert (failed.value.reason, str(failed.value)) == (reason, message)
    assert (await run(pool, work.double, b"a"))["content"] == b"aa"


@pytest.mark.parametrize("function", [work.hang, work.burn])
async def test_function_when_it_takes_too_long_then_its_process_is_gone(pool: SubprocessPool, function: Any) -> None:
    before = await run(pool, work.process_id)
    with pytest.raises(SubprocessError, match=r"took longer than 0\.5 seconds") as failed:
        await run(pool, function, seconds=0.5)
    assert failed.value.reason == "time"
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


async def test_function_when_its_caller_leaves_then_its_process_is_gone(pool: SubprocessPool) -> None:
    before = await run(pool, work.process_id)
    running = asyncio.create_task(run(pool, work.hang))
    await asyncio.sleep(0.3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


async def test_function_when_it_prints_then_answers_are_not_disturbed(pool: SubprocessPool) -> None:
    assert await run(pool, work.chatter) == "said"


async def test_functions_when_many_wait_then_each_has_its_own_result(pool: SubprocessPool) -> None:
    assert await asyncio.gather(*(run(pool, work.slow_echo, number) for number in range(6))) == list(range(6))


async def test_process_when_it_died_while_idle_or_is_old_then_another_takes_its_place(
    pool: SubprocessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await run(pool, work.process_id)
    os.kill(first, 9)
    await asyncio.sleep(0.3)
    second = await run(pool, work.process_id)
    monkeypatch.setattr(pools, "JOBS_EACH", 2)
    assert await run(pool, work.process_id) == second != first
    assert await run(pool, work.process_id) != second


async def test_function_when_it_cannot_be_named_then_refused_before_anything_runs(pool: SubprocessPool) -> None:
    with pytest.raises((AttributeError, TypeError)):
        await run(pool, lambda: 1)


async def test_in_subprocess_when_an_application_is_bound_then_it_ends_with_it(app_settings: Any) -> None:
    async with TestApplication.open(app_settings) as application:
        with application.inner.bound():
            process = await in_subprocess(work.process_id, seconds=20, memory=MEMORY)
        os.kill(process, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
