"""`/mail/batches`: many at once, each with their own words; progress, calling off, a worker that dies."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from host.sdk import Event
from host.testing import Client, TwoTenants
from plugins.mail.events import BatchFinished
from plugins.mail.models import Batch, BatchSlice, Message
from plugins.mail.service import batches, expansion
from plugins.mail.service.suppressions import suppress
from tests.plugins.mail.conftest import Outbound, Within
from tests.plugins.mail.test_messages import limited, soon, used


async def submit(client: Client, count: int = 3, status: int = 202, **body: Any) -> dict[str, Any]:
    recipients = [{"to": f"a{number:05}@example.com", "variables": {"name": f"A{number}"}} for number in range(count)]
    whole = {"template": "welcome", "category": "newsletter", "recipients": recipients, **body}
    batch: dict[str, Any] = await client.ask("POST", "/mail/batches", status, json=whole)
    return batch


async def look(client: Client, batch: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = await client.ask("GET", f"/mail/batches/{batch['id']}")
    return found


async def test_batch_when_accepted_then_everybody_gets_their_own_words(
    two_tenants: TwoTenants, outbound: Outbound, heard: list[Event]
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    batch = await submit(two_tenants.acme_member)
    assert (batch["status"], batch["total"], batch["progress"]) == ("queued", 3, 0.0)
    assert await used(two_tenants.acme) == 3
    await two_tenants.application.run_jobs()
    assert outbound.recipients == [f"a0000{number}@example.com" for number in range(3)]
    words = {outgoing.recipients[0]: outgoing.text for outgoing in outbound.taken}
    assert "A1" in words["a00001@example.com"]
    assert "A2" not in words["a00001@example.com"]
    found = await look(two_tenants.acme, batch)
    assert (found["status"], found["progress"], found["counts"]) == ("done", 1.0, {"sent": 3})
    listed = await two_tenants.acme.ask("GET", f"/mail/messages?batch_id={batch['id']}")
    assert {row["subject"] for row in listed} == {outgoing.subject for outgoing in outbound.taken}
    assert [event.total for event in heard if isinstance(event, BatchFinished)] == [3]


async def test_batch_when_it_has_content_of_its_own_then_sent_to_all(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    recipients = [{"to": f"a{number}@example.com"} for number in range(2)]
    await submit(two_tenants.acme, template="", subject="News", html="<p>There is news</p>", recipients=recipients)
    await two_tenants.application.run_jobs()
    assert [outgoing.html.startswith("<p>There is news</p>") for outgoing in outbound.taken] == [True] * 2
    assert all("There is news" in outgoing.text and outgoing.headers for outgoing in outbound.taken)


async def test_batch_when_recipients_are_wrong_then_each_is_named_and_nothing_accepted(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    recipients = [
        {"to": "a@example.com", "variables": {"name": "A"}},
        {"to": "b@example.com", "variables": {}},
        {"to": "no address", "variables": {"name": "C"}},
    ]
    error = await submit(two_tenants.acme, status=422, recipients=recipients)
    assert error["details"]["recipients.1.variables"] == "missing: name"
    assert set(error["details"]) == {"recipients.1.variables", "recipients.2.to"}
    error = await submit(two_tenants.acme, status=422, template="", subject="x", text="x")
    assert error["details"]["recipients.0.variables"] == "Only a template takes variables."
    error = await submit(two_tenants.acme, count=10_001, status=422)
    assert "recipients" in error["details"]
    assert await two_tenants.acme.ask("GET", "/mail/batches") == []
    assert await used(two_tenants.acme) == 0


async def test_batch_when_it_does_not_fit_the_quota_then_402_and_nothing_is_spent(two_tenants: TwoTenants) -> None:
    await limited(two_tenants, "mail.monthly", "2/month")
    error = await submit(two_tenants.acme, status=402)
    assert error["details"]["limit"] == 2
    assert await used(two_tenants.acme) == 0


async def test_batch_when_some_may_not_be_written_to_then_they_cost_nothing_and_get_nothing(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    with within(two_tenants.acme):
        await suppress("a00000@example.com", "bounce")
    batch = await submit(two_tenants.acme)
    assert await used(two_tenants.acme) == 2
    with within(two_tenants.acme):
        await suppress("a00001@example.com", "bounce")  # between accepting and writing out
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["a00002@example.com"]
    assert await used(two_tenants.acme) == 1
    found = await look(two_tenants.acme, batch)
    assert (found["status"], found["counts"]) == ("done", {"sent": 1, "suppressed": 2})


async def test_batch_when_cancelled_then_the_rest_is_not_sent_and_given_back(
    two_tenants: TwoTenants, outbound: Outbound, within: Within, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SLICE", 2)
    batch = await submit(two_tenants.acme, 6, send_at=soon())
    with within(two_tenants.acme):
        await expansion.expand_slice(UUID(batch["id"]))
    assert (await look(two_tenants.acme, batch))["expanded"] == 2
    gone = await two_tenants.acme.ask("POST", f"/mail/batches/{batch['id']}/cancel")
    assert (gone["status"], gone["counts"]) == ("cancelled", {"cancelled": 2})
    assert await used(two_tenants.acme) == 0
    await two_tenants.application.run_jobs()
    with within(two_tenants.acme):
        assert await Message.all().count() == 2
        assert await BatchSlice.all().count() == 0
    assert outbound.handed == []
    await two_tenants.acme.ask("POST", f"/mail/batches/{batch['id']}/cancel", 409)


async def test_batch_when_the_worker_dies_in_the_middle_of_a_slice_then_nobody_is_left_out_or_doubled(
    two_tenants: TwoTenants, outbound: Outbound, within: Within, monkeypatch: pytest.MonkeyPatch
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    monkeypatch.setattr(batches, "SLICE", 2)
    batch = await submit(two_tenants.acme, 5)
    hand_to_job = expansion.hand_to_job

    async def dies(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with within(two_tenants.acme):
        await expansion.expand_slice(UUID(batch["id"]))
        monkeypatch.setattr(expansion, "hand_to_job", dies)
        with pytest.raises(KeyboardInterrupt):
            await expansion.expand_slice(UUID(batch["id"]))
        monkeypatch.setattr(expansion, "hand_to_job", hand_to_job)
    await two_tenants.application.run_jobs()
    assert outbound.recipients == [f"a0000{number}@example.com" for number in range(5)]


async def test_batch_when_the_plan_has_a_rate_then_spread_over_it(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    await limited(two_tenants, "mail.rate", "2/minute")
    batch = await submit(two_tenants.acme, 5)
    await two_tenants.application.run_jobs()
    assert (await look(two_tenants.acme, batch))["counts"] == {"scheduled": 4, "sent": 1}
    with within(two_tenants.acme):
        due = sorted([each for each in await Message.all().values_list("due_at", flat=True) if each is not None])
    assert [(later - sooner).total_seconds() for sooner, later in pairwise(due)] == [30.0] * 3


async def test_batches_when_asked_for_by_others_then_there_are_none(two_tenants: TwoTenants) -> None:
    batch = await submit(two_tenants.acme)
    for method, path in (("GET", ""), ("POST", "/cancel")):
        assert (await two_tenants.globex.ask(method, f"/mail/batches/{batch['id']}{path}", 404))["code"] == "NOT_FOUND"
        await two_tenants.globex.ask(method, f"/mail/batches/{uuid4()}{path}", 404)
    assert await two_tenants.globex.ask("GET", "/mail/batches") == []
    await submit(two_tenants.acme_viewer, status=403)
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": False})
    assert (await two_tenants.acme.ask("GET", "/mail/batches", 404))["code"] == "PLUGIN_DISABLED"


async def test_batch_when_10_000_are_accepted_then_all_are_written_out(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    batch = await submit(two_tenants.acme, 10_000, send_at=soon())
    assert await used(two_tenants.acme) == 10_000
    await two_tenants.application.run_jobs()
    with within(two_tenants.acme):
        assert await Message.all().count() == 10_000
        assert (await Batch.get(id=batch["id"])).expanded == 10_000
