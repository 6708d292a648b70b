"""Sealing: one chain per tenant, whoever seals and whatever is still being written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from host.jobs.models import Job
from host.jobs.outcomes import GiveUp
from host.services import unit_of_work
from host.testing import TwoTenants
from plugins.audit import checkpoints, sealing, service
from plugins.audit.models import Chain, Entry
from tests.plugins.audit.conftest import Log


async def positions(log: Log) -> list[int]:
    return [row["position"] for row in await log.rows()]


async def test_entries_when_sealed_then_stand_in_one_chain_that_is_whole(log: Log) -> None:
    await log.write(5)
    count = len(await log.rows())
    assert await log.seal() == count
    assert await log.seal() == 0
    await log.write(3)
    assert await log.seal() == 3
    assert await positions(log) == list(range(1, count + 4))
    verdict = await log.verify()
    assert (verdict.ok, verdict.checked, verdict.last, verdict.unsealed) == (True, count + 3, count + 3, 0)


async def test_job_when_something_is_written_then_seals_it_once_the_slot_is_over(
    two_tenants: TwoTenants, log: Log
) -> None:
    await two_tenants.acme.ask("POST", "/projects", 201, json={"name": "Apollo"})
    with two_tenants.application.inner.bound():
        jobs = await Job.filter(task=sealing.SEAL, tenant_id=log.tenant_id)
        assert len(jobs) == 1
        assert datetime.now(UTC) < jobs[0].run_at <= datetime.now(UTC) + timedelta(seconds=11)
        await Job.all().update(run_at=datetime.now(UTC))
    assert await two_tenants.application.run_jobs() >= 1
    assert (await log.verify()).unsealed == 0
    assert (await log.verify()).checked > 0


async def test_unit_of_work_when_undone_then_the_next_one_asks_for_sealing(log: Log) -> None:
    with pytest.raises(RuntimeError, match="no"):
        async with unit_of_work_of(log):
            raise RuntimeError("no")
    with log.application.inner.bound():
        await Job.all().delete()
    await log.write(at=datetime.now(UTC) + timedelta(days=1))
    with log.application.inner.bound():
        assert await Job.filter(task=sealing.SEAL).count() == 1


class unit_of_work_of:
    """A unit of work in which an action of tomorrow is written."""

    def __init__(self, log: Log) -> None:
        self.log, self.binding = log, log.bound()

    async def __aenter__(self) -> None:
        self.binding.__enter__()
        self.work = unit_of_work()
        await self.work.__aenter__()
        await service.write(self.log.action(at=datetime.now(UTC) + timedelta(days=1)))

    async def __aexit__(self, *raised: object) -> None:
        try:
            await self.work.__aexit__(*raised)  # type: ignore[arg-type]
        finally:
            self.binding.__exit__(None, None, None)


async def test_chain_when_eight_write_and_seal_at_once_then_has_one_end(log: Log) -> None:
    await asyncio.gather(*(each for _ in range(8) for each in (log.write(25), seal_often(log, 10))))
    await log.seal()
    rows = await log.rows()
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
    verdict = await log.verify()
    assert (verdict.ok, verdict.checked, verdict.unsealed) == (True, len(rows), 0)


async def seal_often(log: Log, times: int) -> None:
    for _ in range(times):
        await log.seal()


async def test_entry_when_committed_late_then_is_sealed_at_a_later_place(log: Log, backend: str) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    begun, committed = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        with log.bound():
            async with unit_of_work():
                await service.write(log.action(resource_id="late"))
                await Entry.all().count()  # what waits to be written is written now
                begun.set()
                await committed.wait()

    writer = asyncio.create_task(late())
    await begun.wait()
    await log.write(resource_id="early")
    await log.seal()
    committed.set()
    await writer
    assert (await log.verify()).unsealed == 1
    await log.seal()
    assert [row["resource_id"] for row in (await log.rows())[-2:]] == ["early", "late"]
    assert (await log.verify()).ok


async def test_entries_from_before_the_chain_when_sealed_then_are_signed(log: Log) -> None:
    await log.write(250)
    await log.attack("UPDATE audit_entries SET mac = NULL, salt = NULL")
    assert (await log.verify()).ok
    await log.seal()
    assert (await log.verify()).checked >= 250
    assert (await log.verify()).ok
    await log.write()
    await log.attack("UPDATE audit_entries SET mac = NULL, salt = NULL WHERE position IS NULL")
    await log.seal()  # the chain has begun: nothing is signed afterwards any more
    finding = (await log.verify()).finding
    assert finding is not None
    assert finding.position == len(await log.rows())


async def test_chain_when_each_tenant_has_its_own_then_they_do_not_meet(two_tenants: TwoTenants, log: Log) -> None:
    assert two_tenants.globex.tenant_id is not None
    other = Log(two_tenants.application, two_tenants.globex.tenant_id)
    await log.write(2)
    await other.write(3)
    await log.seal()
    await other.seal()
    with log.bound():
        mine = await checkpoints.stored()
    with other.bound():
        theirs = await checkpoints.stored()
    assert mine is not None
    assert theirs is not None
    finding = (await other.verify(outside=[mine])).finding
    assert finding is not None
    assert finding.kind == "checkpoint"
    assert (await other.verify(outside=[theirs])).ok


async def test_seal_when_the_secret_was_changed_then_gives_up_and_says_what_to_do(log: Log) -> None:
    await log.write()
    await log.seal()
    await log.attack("UPDATE audit_chains SET signature = 'x'")
    await log.write()
    with pytest.raises(GiveUp, match="TENANTRY_AUDIT__CHAIN_SECRET"):
        await log.seal()
    finding = (await log.verify()).finding
    assert finding is not None
    assert (finding.kind, finding.position) == ("head altered", None)


async def test_chain_when_its_end_was_cut_off_then_goes_on_behind_the_gap(log: Log) -> None:
    await log.write(6)
    await log.seal()
    end = len(await log.rows())
    old = await log.attack("SELECT * FROM audit_chains")
    await log.write(4)
    await log.seal()
    await log.attack("DELETE FROM audit_entries WHERE position > $1", end)
    columns = ("position", "hash", "pruned_position", "pruned_hash", "sealed_at", "signature")
    for row in old:  # the row as it once was, and genuine
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 1))
        await log.attack(f"UPDATE audit_chains SET {sets} WHERE id = $7", *(row[name] for name in columns), row["id"])
    await log.write(2)
    await log.seal()
    assert (await positions(log))[-2:] == [end + 5, end + 6]
    finding = (await log.verify()).finding
    assert finding is not None
    assert (finding.kind, finding.position) == ("removed", end + 1)


async def test_table_and_checkpoint_when_both_rolled_back_then_a_copy_kept_elsewhere_tells(log: Log) -> None:
    await log.write(3)
    await log.seal()
    end = len(await log.rows())
    with log.bound():
        old, row = await checkpoints.stored(), await Chain.get()
    await log.write(3)
    await log.seal()
    with log.bound():
        copy = await checkpoints.stored()
        assert old is not None
        assert copy is not None
        async with unit_of_work():
            await row.save()
        await checkpoints.store(old)
    await log.attack("DELETE FROM audit_entries WHERE position > $1", end)
    assert (await log.verify()).ok
    finding = (await log.verify(outside=[copy])).finding
    assert finding is not None
    assert (finding.kind, finding.position) == ("cut off", end + 1)
    await log.write(5)  # others take the place of what was cut off
    await log.seal()
    assert (await log.verify()).ok
    finding = (await log.verify(outside=[copy])).finding
    assert finding is not None
    assert (finding.kind, finding.position) == ("cut off", copy.position)
