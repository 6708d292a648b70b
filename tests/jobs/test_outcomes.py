from __future__ import annotations

import pytest

from host.contracts import Task
from host.jobs.outcomes import wait_before_retry


async def run() -> None: ...


TASK = Task("send", run, "", backoff=5.0)


def test_wait_when_tries_go_on_then_doubled_each_time_and_an_hour_at_most() -> None:
    waits = [wait_before_retry(TASK, attempts, lambda: 0.5).total_seconds() for attempts in (1, 2, 3, 4, 10, 10_000)]
    assert waits == [5, 10, 20, 40, 2560, 3600]


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 3.75), (1.0, 6.25)])
def test_wait_when_chance_varies_then_a_quarter_off_or_on(chance: float, seconds: float) -> None:
    assert wait_before_retry(TASK, 1, lambda: chance).total_seconds() == seconds


def test_wait_when_asked_often_then_not_always_the_same() -> None:
    assert len({wait_before_retry(TASK, 1) for _ in range(20)}) > 10
