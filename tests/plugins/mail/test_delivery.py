"""Delivery: what is refused for now, for good, or for some; what a dead worker leaves; who goes first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from typing import Any

import pytest

from host.execution_context import as_plugin
from host.sdk import Backoff, Event, Postpone, settings
from host.testing import Client, TwoTenants
from plugins.mail.events import MessageBounced, MessageFailed, MessageSent
from plugins.mail.models import Message, Status
from plugins.mail.outgoing import Outgoing
from plugins.mail.providers.contract import ProviderUnavailable, Receipt, Refused
from plugins.mail.service import delivery
from plugins.mail.service.delivery import Order
from plugins.mail.service.suppressions import suppress, suppressed
from plugins.mail.service.timeline import Happened, happened
from plugins.mail.settings import Settings
from tests.plugins.mail.conftest import MakeDue, Outbound, Within
from tests.plugins.mail.test_messages import limited, send, used

BUSY = Refused("try later", permanent=False, kind="provider", code="451")
SPAM = Refused("no", permanent=True, kind="content", code="554")
NOBODY = Refused("no such user", permanent=True, kind="address", code="550 5.1.1")


async def look(client: Client, message: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = await client.ask("GET", f"/mail/messages/{message['id']}")
    return found


def kinds(message: dict[str, Any]) -> list[str]:
    return [each["kind"] for each in message["timeline"]]


# -- refusals --------------------------------------------------------------------------------------------


async def test_message_when_refused_for_now_then_tried_again_with_the_same_id(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    outbound.once(BUSY, ProviderUnavailable("no answer"))
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    found = await look(two_tenants.acme, message)
    assert (found["status"], found["attempts"], found["error"]) == ("deferred", 1, "451: try later")
    await make_due()
    await make_due()
    assert {each.message_id for each in outbound.handed} == {message["message_id"]}
    found = await look(two_tenants.acme, message)
    assert kinds(found) == ["accepted", "deferred", "deferred", "sent"]
    assert (found["status"], found["error"]) == ("sent", "")


async def test_message_when_refused_for_as_long_as_it_is_tried_then_failed_and_given_back(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue, heard: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "backoff", lambda *_, **__: Backoff(60, within=180))  # 60 and 120 seconds of waiting
    outbound.once(BUSY, BUSY, BUSY)
    message = await send(two_tenants.acme)
    for _ in range(3):
        await make_due()
    found = await look(two_tenants.acme, message)
    assert (found["status"], found["error"], found["attempts"]) == ("failed", "451: try later", 3)
    assert await used(two_tenants.acme) == 0
    assert [event.reason for event in heard if isinstance(event, MessageFailed)] == ["451: try later"]
    await make_due()
    assert len(outbound.handed) == 3
    await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/retry", 202)
    await make_due()
    assert (await look(two_tenants.acme, message))["status"] == "sent"
    assert await used(two_tenants.acme) == 1


@pytest.mark.parametrize(
    ("answer", "first"),
    [
        (BUSY, 60),
        (ProviderUnavailable("no answer"), 5),
        (ProviderUnavailable("slow down", wait=timedelta(minutes=10)), 600),
    ],
)
async def test_message_when_refused_for_now_then_tried_for_two_days_at_the_pace_of_its_kind(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue, answer: Exception, first: float
) -> None:
    outbound.always = lambda outgoing: answer
    message = await send(two_tenants.acme)
    began = datetime.now(UTC)
    await two_tenants.application.run_jobs()
    found = await look(two_tenants.acme, message)
    assert 0.75 * first <= (datetime.fromisoformat(found["due_at"]) - began).total_seconds() <= 1.25 * first + 10
    with two_tenants.application.inner.bound(), as_plugin("mail"):
        backoff = settings(Settings).backoff(away=isinstance(answer, ProviderUnavailable))
    waits = list(takewhile(bool, map(backoff.wait, count(1))))
    assert 44 <= sum((wait.total_seconds() for wait in waits if wait), 0.0) / 3600 <= 53
    assert max(wait for wait in waits if wait) <= timedelta(minutes=75)


async def test_message_when_it_may_have_been_taken_each_time_then_tried_five_times_and_no_more(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    outbound.always = lambda outgoing: ProviderUnavailable("no answer to the whole message", uncertain=True)
    message = await send(two_tenants.acme)
    for _ in range(7):
        await make_due()
    found = await look(two_tenants.acme, message)
    assert (found["status"], found["attempts"], len(outbound.handed)) == ("failed", 5, 5)


async def test_message_when_no_provider_was_asked_then_it_is_no_try(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    outbound.once(*[ProviderUnavailable("left alone", wait=timedelta(seconds=40), tried=False)] * 5)
    message = await send(two_tenants.acme)
    for _ in range(5):
        await make_due()
    found = await look(two_tenants.acme, message)
    assert (found["status"], found["attempts"]) == ("queued", 0)
    await make_due()
    assert (await look(two_tenants.acme, message))["status"] == "sent"


async def test_message_when_refused_for_good_then_failed_at_once(two_tenants: TwoTenants, outbound: Outbound) -> None:
    outbound.once(SPAM)
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    found = await look(two_tenants.acme, message)
    assert (found["status"], found["error"], kinds(found)) == ("failed", "554: no", ["accepted", "failed"])
    assert await used(two_tenants.acme) == 0


async def test_message_when_there_is_nobody_at_the_address_then_bounced_and_suppressed(
    two_tenants: TwoTenants, outbound: Outbound, within: Within, heard: list[Event]
) -> None:
    outbound.once(NOBODY)
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    found = await look(two_tenants.acme, message)
    assert (found["status"], found["error"], kinds(found)) == ("bounced", str(NOBODY), ["accepted", "bounced"])
    assert [event.recipient for event in heard if isinstance(event, MessageBounced)] == ["ada@example.com"]
    assert await used(two_tenants.acme) == 0
    with within(two_tenants.acme):
        assert await suppressed(["ada@example.com"]) == {"ada@example.com"}
    await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/retry", 409)


async def test_message_when_some_recipients_are_refused_then_the_others_have_it_once(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    def some(outgoing: Outgoing) -> Receipt:
        refused = {"bob@example.com": BUSY, "eve@example.com": NOBODY}
        return Receipt("played", "1", {each: refused[each] for each in outgoing.recipients if each in refused})

    outbound.answers.append(some)
    message = await send(two_tenants.acme, cc=["bob@example.com"], bcc=["eve@example.com"])
    await two_tenants.application.run_jobs()
    assert (await look(two_tenants.acme, message))["status"] == "deferred"
    await make_due()
    assert [each.recipients for each in outbound.handed][1] == ("bob@example.com",)
    found = await look(two_tenants.acme, message)
    assert (found["status"], found["error"]) == ("sent", "")
    assert kinds(found) == ["accepted", "refused", "bounced", "sent", "suppressed", "sent"]
    assert await used(two_tenants.acme) == 2


async def test_message_when_its_only_recipient_is_suppressed_meanwhile_then_not_sent_and_given_back(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    message = await send(two_tenants.acme)
    with within(two_tenants.acme):
        await suppress("ada@example.com", "complaint")
    await two_tenants.application.run_jobs()
    assert outbound.handed == []
    found = await look(two_tenants.acme, message)
    assert (found["status"], kinds(found)) == ("suppressed", ["accepted", "suppressed"])
    assert await used(two_tenants.acme) == 0


async def test_message_when_handing_over_fails_in_an_unknown_way_then_it_counts_as_a_try(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    outbound.once(RuntimeError("a bug"))
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    found = await look(two_tenants.acme, message)
    assert (found["status"], found["error"]) == ("deferred", "something failed on our side; the message is tried again")


# -- many at once ----------------------------------------------------------------------------------------


async def test_messages_when_many_are_due_then_one_run_delivers_them_with_few_statements(
    two_tenants: TwoTenants, outbound: Outbound, monkeypatch: pytest.MonkeyPatch, heard: list[Event]
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    for number in range(20):
        await send(two_tenants.acme, to=[f"a{number:02}@example.com"])
    runs: list[int] = []
    real = delivery.deliver

    async def counted(orders: Sequence[Order]) -> list[Exception | None]:
        runs.append(len(orders))
        return await real(orders)

    monkeypatch.setattr(delivery, "deliver", counted)
    await two_tenants.application.run_jobs()
    assert runs == [20]
    assert outbound.recipients == [f"a{number:02}@example.com" for number in range(20)]
    assert len([event for event in heard if isinstance(event, MessageSent)]) == 20
    found = await two_tenants.acme.ask("GET", "/mail/messages?limit=100")
    by_recipient = {each.to[0].email: f"id-{place}" for place, each in enumerate(outbound.taken, 1)}
    assert {each["to"][0]: each["provider_id"] for each in found} == by_recipient


async def test_messages_when_a_worker_dies_in_between_then_only_those_in_its_hands_are_sent_twice(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    first, second = await send(two_tenants.acme), await send(two_tenants.acme, to=["bob@example.com"])
    orders = [Order(each["id"], False) for each in (first, second)]
    with within(two_tenants.acme):
        await delivery.deliver(orders[:1])
        await Message.filter(id=second["id"]).update(status=Status.SENDING)  # taken in hand, and the worker is gone
        assert await delivery.deliver(orders) == [None, None]
    assert outbound.recipients == ["ada@example.com", "bob@example.com"]


async def test_message_when_called_off_before_it_is_taken_in_hand_then_nobody_gets_it(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    message = await send(two_tenants.acme)
    await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/cancel")
    with within(two_tenants.acme):
        assert await delivery.deliver([Order(message["id"], False)]) == [None]
    assert outbound.handed == []


async def test_message_when_it_is_in_hand_then_it_cannot_be_called_off(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    async def too_late(outgoing: Outgoing) -> None:
        await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/cancel", 409)

    outbound.before = too_late
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    assert (await look(two_tenants.acme, message))["status"] == "sent"


async def test_message_when_the_provider_tells_before_we_have_written_then_its_word_stands(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    async def quick(outgoing: Outgoing) -> None:
        with within(two_tenants.acme):
            row = await Message.get(message_id=outgoing.message_id)
            await happened([Happened(row.id, "delivered", row.created_at, provider="played", provider_event="e1")])

    outbound.before = quick
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    found = await look(two_tenants.acme, message)
    assert (found["status"], found["provider"], found["due_at"]) == ("delivered", "played", None)


async def test_messages_when_bulk_and_other_wait_then_the_others_go_first(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    for number in range(3):
        await send(two_tenants.acme, to=[f"bulk{number}@example.com"], category="newsletter")
    await send(two_tenants.acme, to=["person@example.com"])
    await two_tenants.application.run_jobs()
    assert outbound.taken[0].recipients == ("person@example.com",)
    headers = dict(outbound.taken[1].headers)
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert outbound.taken[0].headers == ()


async def test_messages_when_the_rate_is_used_up_at_delivery_then_put_off_one_behind_the_other(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    messages = [await send(two_tenants.acme, when_limited="wait") for _ in range(3)]
    await limited(two_tenants, "mail.rate", "4/minute")  # three were taken when they were accepted
    with within(two_tenants.acme):
        answers = await delivery.deliver([Order(each["id"], True) for each in messages])
    assert answers[0] is None
    waits = [answer.wait.total_seconds() for answer in answers[1:] if isinstance(answer, Postpone)]
    assert len(waits) == 2
    assert waits[1] - waits[0] == 15
    assert (await look(two_tenants.acme, messages[2]))["status"] == "scheduled"
