"""The time line: told out of order, told twice, told of what we do not know."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations
from uuid import uuid4

from host.sdk import Event
from host.testing import TwoTenants
from plugins.mail.events import MessageBounced, MessageDelivered
from plugins.mail.models import Status
from plugins.mail.service.timeline import Happened, happened
from tests.plugins.mail.conftest import SendTo, Within

NOW = datetime.now(UTC)


async def test_status_when_told_in_any_order_then_the_highest_stands(
    two_tenants: TwoTenants, sent: SendTo, within: Within
) -> None:
    for order in permutations(("deferred", "delivered", "bounced")):
        message = await sent(two_tenants.acme)
        with within(two_tenants.acme):
            for kind in order:
                assert len(await happened([Happened(message.id, kind, NOW, provider="p")])) == 1
        assert (await message.look())["status"] == "bounced", order


async def test_happening_when_told_twice_then_written_and_announced_once(
    two_tenants: TwoTenants, sent: SendTo, within: Within, heard: list[Event]
) -> None:
    message = await sent(two_tenants.acme)
    event = Happened(message.id, "delivered", NOW, recipient="ada@example.com", provider="p", provider_event="e1")
    with within(two_tenants.acme):
        assert [await happened([event, event]), await happened([event])] == [[event], []]
    assert [each["kind"] for each in (await message.look())["timeline"]] == ["accepted", "delivered"]
    assert len([each for each in heard if isinstance(each, MessageDelivered)]) == 1


async def test_happening_when_of_a_message_of_the_other_tenant_then_left_out(
    two_tenants: TwoTenants, sent: SendTo, within: Within, heard: list[Event]
) -> None:
    message = await sent(two_tenants.acme)
    with within(two_tenants.globex):
        assert await happened([Happened(message.id, "bounced", NOW), Happened(uuid4(), "bounced", NOW)]) == []
    assert (await message.look())["status"] == "sent"
    assert not [each for each in heard if isinstance(each, MessageBounced)]


async def test_status_when_told_of_a_message_given_up_here_then_the_provider_is_believed(
    two_tenants: TwoTenants, sent: SendTo, within: Within
) -> None:
    message = await sent(two_tenants.acme, status=Status.FAILED)
    cancelled = await sent(two_tenants.acme, status=Status.CANCELLED)
    with within(two_tenants.acme):
        await happened([Happened(each.id, "delivered", NOW) for each in (message, cancelled)])
        await happened([Happened(message.id, "opened", NOW), Happened(message.id, "clicked", NOW)])
    found = await message.look()
    assert (found["status"], found["opens"], found["clicks"]) == ("delivered", 1, 1)
    assert (await cancelled.look())["status"] == "cancelled"
