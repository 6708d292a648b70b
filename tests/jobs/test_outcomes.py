from __future__ import annotations

import pytest

from host.jobs.outcomes import Backoff


def waited(backoff: Backoff, attempts: int, chance: float = 0.5) -> float | None:
    wait = backoff.wait(attempts, lambda: chance)
    return None if wait is None else wait.total_seconds()


def test_wait_when_tries_go_on_then_doubled_each_time_and_an_hour_at_most() -> None:
    assert [waited(Backoff(5.0), attempts) for attempts in (1, 2, 3, 4, 10, 10_000)] == [5, 10, 20, 40, 2560, 3600]


def test_wait_when_all_waits_come_to_what_is_allowed_then_none() -> None:
    backoff = Backoff(60.0, within=200.0)
    assert [waited(backoff, attempts) for attempts in range(1, 6)] == [60, 120, 240, None, None]


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 3.75), (1.0, 6.25)])
def test_wait_when_chance_varies_then_a_quarter_off_or_on(chance: float, seconds: float) -> None:
    assert waited(Backoff(5.0), 1, chance) == seconds


def test_wait_when_asked_often_then_not_always_the_same() -> None:
    assert len({Backoff(5.0).wait(1) for _ in range(20)}) > 10
