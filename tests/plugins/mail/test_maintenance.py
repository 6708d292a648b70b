"""Maintenance: what was left behind is taken up, what is old is deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from host.jobs.models import Job
from host.testing import TwoTenants
from plugins.mail.models import Batch, Message, Status
from plugins.mail.providers.contract import Refused
from plugins.mail.service import maintenance
from tests.plugins.mail.conftest import Outbound, Within
from tests.plugins.mail.test_any_tenant_state import close, reopen
from tests.plugins.mail.test_batches import submit
from tests.plugins.mail.test_messages import limited, send, soon, used

LONG_AGO = datetime.now(UTC) - timedelta(hours=2)


async def lose_jobs(two_tenants: TwoTenants) -> None:
    with two_tenants.application.inner.bound():
        await Job.all().delete()


async def age(within: Within, two_tenants: TwoTenants, **columns: Any) -> None:
    with within(two_tenants.acme):
        await Message.all().update(**{"due_at": LONG_AGO, "updated_at": LONG_AGO, **columns})


async def test_message_when_its_job_is_lost_then_taken_up_after_an_hour_and_sent_once(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    await send(two_tenants.acme)
    await lose_jobs(two_tenants)
    with within(two_tenants.acme):
        assert await maintenance.take_up() == 0
    await age(within, two_tenants)
    with within(two_tenants.acme):
        assert [await maintenance.take_up(), await maintenance.take_up()] == [1, 0]
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["ada@example.com"]


async def test_message_when_taken_up_while_its_job_still_waits_then_only_the_new_one_counts(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    await send(two_tenants.acme)
    await age(within, two_tenants)
    with within(two_tenants.acme):
        await maintenance.take_up()
    assert await two_tenants.application.run_jobs() == 1
    assert outbound.recipients == ["ada@example.com"]


async def test_message_when_workers_died_with_it_again_and_again_then_failed_and_given_back(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    message = await send(two_tenants.acme)
    for _ in range(4):
        await lose_jobs(two_tenants)
        await age(within, two_tenants, status=Status.SENDING)
        with within(two_tenants.acme):
            await maintenance.take_up()
    found = await two_tenants.acme.ask("GET", f"/mail/messages/{message['id']}")
    assert (found["status"], found["error"]) == ("failed", "its worker ended before it did, 3 times")
    assert await used(two_tenants.acme) == 0


async def test_batch_when_its_job_is_lost_then_taken_up(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    await submit(two_tenants.acme)
    await lose_jobs(two_tenants)
    with within(two_tenants.acme):
        await Batch.all().update(updated_at=LONG_AGO)
        await maintenance.requeue()
    await two_tenants.application.run_jobs()
    assert len(outbound.taken) == 3


async def test_content_when_kept_long_enough_then_removed_and_the_row_stays(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    outbound.once(Refused("no", permanent=True, kind="content"))
    over, waiting = await send(two_tenants.acme, html="<p>x</p>"), await send(two_tenants.acme, send_at=soon())
    await two_tenants.application.run_jobs()
    with within(two_tenants.acme):
        await Message.all().update(updated_at=datetime.now(UTC) - timedelta(days=91))
        await maintenance.clean_up()
    found = await two_tenants.acme.ask("GET", f"/mail/messages/{over['id']}")
    assert (found["emptied"], found["text"], found["html"], found["subject"]) == (True, "", "", "Hello")
    assert (await two_tenants.acme.ask("GET", f"/mail/messages/{waiting['id']}"))["text"] == "Hello Ada"
    error = await two_tenants.acme.ask("POST", f"/mail/messages/{over['id']}/retry", 409)
    assert "content was removed" in error["message"]


async def test_requeue_when_run_as_the_job_it_is_then_done(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    message = await send(two_tenants.acme)
    await lose_jobs(two_tenants)
    await age(within, two_tenants)
    with two_tenants.application.inner.bound():
        await two_tenants.application.inner.reconciler.fan_out()
    await two_tenants.application.run_jobs()
    found = await two_tenants.acme.ask("GET", f"/mail/messages/{message['id']}")
    assert found["status"] == "sent"


@pytest.mark.parametrize("state", ["suspended", "leaving", "switched off"])
async def test_content_when_the_organisation_is_closed_then_still_removed_but_nothing_is_sent(
    two_tenants: TwoTenants, outbound: Outbound, within: Within, state: str
) -> None:
    old, waiting = await send(two_tenants.acme), await send(two_tenants.acme, send_at=soon())
    await two_tenants.application.run_jobs()
    with within(two_tenants.acme):
        await Message.filter(id=old["id"]).update(updated_at=datetime.now(UTC) - timedelta(days=91))
        await Message.filter(id=waiting["id"]).update(due_at=LONG_AGO, updated_at=LONG_AGO)
    await lose_jobs(two_tenants)
    await close(two_tenants, state)
    with two_tenants.application.inner.bound():
        await two_tenants.application.inner.reconciler.fan_out()
    await two_tenants.application.run_jobs()
    assert len(outbound.taken) == 1
    acme = await reopen(two_tenants, state)
    assert (await acme.ask("GET", f"/mail/messages/{old['id']}"))["emptied"] is True
    assert (await acme.ask("GET", f"/mail/messages/{waiting['id']}"))["status"] in {"queued", "scheduled"}
