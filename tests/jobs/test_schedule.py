"""Cron lines by each tenant's clock: every local time once, through clock changes, restarts and moves."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo, available_timezones

import pytest

from host.contracts import Task
from host.jobs.models import Job
from host.registry.checks import Scope, tasks
from host.times import cron_problem, last_time
from tests.jobs.conftest import JobSetup

MISSED = timedelta(days=3)


def at(job_setup: JobSetup, time: str) -> None:
    """Set the clock."""
    job_setup.clock.ahead = datetime.fromisoformat(time) - datetime.now(UTC)


async def keys(tenant: int) -> list[str]:
    """The slots of a tenant's jobs, in order."""

    jobs = await Job.filter(tenant_id=UUID(int=tenant)).order_by("key")
    return [(job.key or "").rpartition("schedule:")[2] for job in jobs]


async def report() -> None: ...


async def test_schedule_when_by_the_tenants_clock_then_each_at_its_own_nine(job_setup: JobSetup) -> None:
    berlin, tokyo, utc = job_setup.tenants
    job_setup.scheduled = {berlin: {"zone": "Europe/Berlin"}, tokyo: {"zone": "Asia/Tokyo"}, utc: {}}
    job_setup.task(report, "mail.report", at="0 9 * * 1")
    at(job_setup, "2026-11-23T05:00:00+00:00")  # Monday: 14:00 in Tokyo, 6:00 in Berlin
    reconcilers = [job_setup.reconciler() for _ in range(3)]
    await asyncio.gather(*(one.fan_out() for one in reconcilers))
    assert [await keys(number) for number in (1, 2, 3)] == [[], ["2026-11-23T09:00"], []]
    at(job_setup, "2026-11-23T08:00:30+00:00")
    await asyncio.gather(*(one.fan_out() for one in reconcilers))
    at(job_setup, "2026-11-23T09:00:30+00:00")
    await asyncio.gather(*(one.fan_out() for one in reconcilers))
    await job_setup.reconciler().fan_out()  # a process that starts later
    assert [await keys(number) for number in (1, 2, 3)] == [["2026-11-23T09:00"]] * 3


async def test_schedule_when_the_tenant_moves_then_no_local_time_twice(job_setup: JobSetup) -> None:
    one = job_setup.tenants[0]
    job_setup.tenants = [one]
    job_setup.scheduled = {one: {"zone": "Europe/Berlin"}}
    job_setup.task(report, "mail.report", at="0 9 * * *")
    at(job_setup, "2026-11-23T08:30:00+00:00")
    await job_setup.reconciler().fan_out()
    job_setup.scheduled = {one: {"zone": "America/New_York"}}
    at(job_setup, "2026-11-23T14:30:00+00:00")
    await job_setup.reconciler().fan_out()
    assert await keys(1) == ["2026-11-23T09:00"]


async def test_schedule_when_a_time_was_missed_then_the_last_one_is_made_up_for_but_not_before_the_tenant(
    job_setup: JobSetup,
) -> None:
    old, new, _ = job_setup.tenants
    job_setup.tenants = [old, new]
    job_setup.scheduled = {new: {"created_at": datetime(2026, 11, 24, 12, tzinfo=UTC)}}
    job_setup.task(report, "mail.report", at="0 9 * * *", zone="UTC")
    at(job_setup, "2026-11-24T15:00:00+00:00")  # three days were missed
    await job_setup.reconciler().fan_out()
    assert [await keys(1), await keys(2)] == [["2026-11-24T09:00"], []]
    job_setup.task(report, "mail.yearly", at="0 9 1 1 *")
    await job_setup.reconciler().fan_out()
    assert await Job.filter(task="mail.yearly").count() == 0


async def test_schedule_when_jobs_are_cleaned_up_then_a_time_that_can_be_made_up_for_does_not_come_twice(
    job_setup: JobSetup,
) -> None:
    job_setup.tenants = job_setup.tenants[:1]
    job_setup.task(report, "mail.report", at="0 9 * * 1", zone="UTC")
    at(job_setup, "2026-11-23T09:00:10+00:00")
    await job_setup.reconciler().fan_out()
    await job_setup.runner().drain()
    at(job_setup, "2026-11-26T08:59:00+00:00")
    again = job_setup.reconciler(keep=timedelta(days=1))
    await again.clean()
    await again.fan_out()
    assert await Job.all().count() == 1


async def test_schedule_when_many_tenants_have_it_then_they_are_spread(job_setup: JobSetup) -> None:

    job_setup.tenants = [uuid4() for _ in range(200)]
    job_setup.task(report, "mail.report", at="0 9 * * *", zone="UTC")
    at(job_setup, "2026-11-23T09:00:10+00:00")
    await job_setup.reconciler().fan_out()
    times = sorted(job.run_at for job in await Job.all())
    assert len(times) == 200
    assert timedelta(seconds=5) < times[-1] - times[0] <= timedelta(seconds=10)


@pytest.mark.parametrize("line", ["0 9 * * *", "30 2 * * *", "15 0 1 * *", "59 23 * * *"])
def test_time_when_a_zone_changes_its_clocks_then_every_local_day_has_it_once(line: str) -> None:
    for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago"):
        zone, now = ZoneInfo(name), datetime(2026, 1, 1, tzinfo=UTC)
        seen: dict[datetime, None] = {}
        while now < datetime(2027, 1, 1, tzinfo=UTC):
            last = last_time(line, now.astimezone(zone), MISSED)
            if last is not None:
                assert last.astimezone(UTC) <= now
                seen[last.astimezone(UTC)] = None
            now += timedelta(minutes=20)
        days = Counter(time.astimezone(zone).date() for time in seen)
        if line.endswith("1 * *"):
            assert len(days) >= 12, name
        else:
            assert len(days) >= 365, name
        assert set(days.values()) == {1}, name


def test_time_when_asked_in_any_zone_then_there_is_one() -> None:
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    for name in available_timezones() - {"localtime", "Factory", "posixrules"}:
        assert last_time("0 9 * * *", now.astimezone(ZoneInfo(name)), MISSED) is not None, name


@pytest.mark.parametrize(
    "line", ["61 * * * *", "x", "* * * *", "0 0 30 2 *", "0 0 * * 9", "@daily", "", "0 24 * * *", "0 0 31 4 *"]
)
def test_line_when_it_is_none_or_never_comes_then_the_start_is_refused_with_the_line(line: str) -> None:
    if line:
        (complaint,) = tasks([Task("report", report, "Report", at=line)], Scope("mail", {}, (), ()))
        assert f'at "{line}"' in complaint
        assert "0 9 * * 1" in complaint
    assert cron_problem(line)
