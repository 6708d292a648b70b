"""A job's verbs act on the message or the batch that it is about, or are refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from host.api.jobs import again
from host.cli.jobs import _each
from host.jobs.models import Job, JobState
from host.testing import Client, TwoTenants
from plugins.mail.models import Message, Status
from plugins.mail.providers.contract import Refused
from plugins.mail.service import expansion
from tests.plugins.mail.conftest import MakeDue, Outbound, Within
from tests.plugins.mail.test_batches import look as look_at_batch
from tests.plugins.mail.test_batches import submit
from tests.plugins.mail.test_delivery import SPAM, kinds, look
from tests.plugins.mail.test_messages import limited, send, soon, used


async def job_of(client: Client, task: str = "mail.deliver") -> dict[str, Any]:
    [job] = await client.ask("GET", f"/jobs?task={task}")
    assert isinstance(job, dict)
    return job


async def test_job_when_its_message_failed_and_it_is_retried_then_the_message_is_sent_and_spent_for(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    outbound.once(SPAM)
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    assert (await look(two_tenants.acme, message))["status"] == "failed"
    job = await job_of(two_tenants.acme)
    assert (job["id"], job["state"]) == (message["id"], "failed")
    await two_tenants.acme.ask("POST", f"/jobs/{job['id']}/retry")
    assert await used(two_tenants.acme) == 1
    await two_tenants.application.run_jobs()
    found = await look(two_tenants.acme, message)
    assert (found["status"], kinds(found)) == ("sent", ["accepted", "failed", "retried", "sent"])
    assert (await job_of(two_tenants.acme))["state"] == "done"


async def test_jobs_when_all_that_failed_are_retried_by_command_then_their_messages_are_sent_or_it_says_why_not(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    outbound.once(*[SPAM] * 3)
    messages = [await send(two_tenants.acme, to=[f"a{number}@example.com"]) for number in range(3)]
    await two_tenants.application.run_jobs()
    with within(two_tenants.acme):
        await Message.filter(id=messages[0]["id"]).update(emptied=True)
    with two_tenants.application.inner.bound():
        changed, refused = await _each([job.id for job in await Job.filter(state=JobState.FAILED)], again)
    assert {str(job_id) for job_id in changed} == {each["id"] for each in messages[1:]}
    assert list(refused) == [messages[0]["id"]]
    assert "content was removed" in refused[messages[0]["id"]]
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["a1@example.com", "a2@example.com"]
    with two_tenants.application.inner.bound():
        assert await Job.filter(state=JobState.FAILED).count() == 1


async def test_job_when_its_message_is_scheduled_and_it_is_cancelled_then_the_message_never_leaves(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    message = await send(two_tenants.acme, send_at=soon())
    job = await job_of(two_tenants.acme)
    await two_tenants.acme.ask("POST", f"/jobs/{job['id']}/cancel")
    assert (await look(two_tenants.acme, message))["status"] == "cancelled"
    assert await used(two_tenants.acme) == 0
    await make_due()
    assert outbound.handed == []
    await two_tenants.acme.ask("POST", f"/jobs/{job['id']}/retry")
    await make_due()
    assert outbound.recipients == ["ada@example.com"]


async def test_job_when_its_message_is_being_sent_then_it_cannot_be_cancelled(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    async def too_late(outgoing: Any) -> None:
        error = await two_tenants.acme.ask("POST", f"/jobs/{message['id']}/cancel", 409)
        assert "message is sending" in error["message"]

    outbound.before = too_late
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    assert (await look(two_tenants.acme, message))["status"] == "sent"
    assert (await job_of(two_tenants.acme))["state"] == "done"


@pytest.mark.parametrize("verb", ["retry", "cancel"])
async def test_job_when_its_batch_is_called_off_then_the_batch_is_and_it_cannot_be_run_again(
    two_tenants: TwoTenants, outbound: Outbound, verb: str
) -> None:
    batch = await submit(two_tenants.acme)
    job = await job_of(two_tenants.acme, "mail.expand")
    await two_tenants.acme.ask("POST", f"/jobs/{job['id']}/cancel")
    assert (await look_at_batch(two_tenants.acme, batch))["status"] == "cancelled"
    error = await two_tenants.acme.ask("POST", f"/jobs/{job['id']}/{verb}", 409)
    assert "cancelled" in error["message"]
    await two_tenants.application.run_jobs()
    assert outbound.handed == []


async def test_message_when_its_batch_is_called_off_then_it_cannot_be_sent_after_all(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    batch = await submit(two_tenants.acme, send_at=soon())
    with within(two_tenants.acme):
        await expansion.expand_slice(UUID(batch["id"]))
    await two_tenants.acme.ask("POST", f"/mail/batches/{batch['id']}/cancel")
    [message, *_] = await two_tenants.acme.ask("GET", "/mail/messages")
    error = await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/retry", 409)
    assert "batch was cancelled" in error["message"]
    assert await used(two_tenants.acme) == 0


async def test_job_when_its_message_does_not_exist_any_more_then_refused_in_words(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    outbound.once(Refused("no", permanent=True, kind="content"))
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    with within(two_tenants.acme):
        await Message.filter(id=message["id"]).delete()
    error = await two_tenants.acme.ask("POST", f"/jobs/{message['id']}/retry", 409)
    assert error["message"] == "What this job is about does not exist any more."
    assert (await job_of(two_tenants.acme))["state"] == "failed"


async def test_mail_when_its_organisation_is_suspended_then_it_waits_and_leaves_afterwards(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    application, acme = two_tenants.application.inner, two_tenants.acme.tenant_id
    assert acme is not None
    message = await send(two_tenants.acme)
    later = await send(two_tenants.acme, to=["later@example.com"], send_at=soon())
    with application.bound():
        await application.provisioning.suspend(acme, "unpaid")
    await make_due()
    assert outbound.handed == []
    with application.bound():
        await application.provisioning.resume(acme)
        await application.reconciler.unpark()
    await make_due()
    assert outbound.recipients == ["ada@example.com", "later@example.com"]
    for each in (message, later):
        assert (await look(two_tenants.acme, each))["status"] == Status.SENT
