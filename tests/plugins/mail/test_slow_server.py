"""A mail server that is slow but well: no tenant waits for another's batch, waiting is no try, batches stop at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from host.execution_context import as_plugin
from host.sdk import app_singleton
from host.testing import Client, TwoTenants
from plugins.mail.models import Message, Status
from plugins.mail.providers.channel import ProviderChannel
from plugins.mail.providers.smtp_server import SmtpProvider
from plugins.mail.providers.smtp_settings import SmtpSettings
from plugins.mail.providers.spec import Setup
from plugins.mail.service.dispatcher import Dispatcher, Dispatchers
from tenants.context import bind
from tests.plugins.mail.conftest import Within
from tests.plugins.mail.peers.smtp import SmtpPeer, smtp_server
from tests.plugins.mail.test_batches import submit
from tests.plugins.mail.test_messages import limited, send

SECONDS = 0.3  # a message takes
PLACES = 4


@pytest.fixture
async def slow(two_tenants: TwoTenants, tmp_path: Path) -> AsyncIterator[SmtpPeer]:
    """The deployment's provider, and a worker beside it."""
    application = two_tenants.application.inner
    await limited(two_tenants, "mail.rate", "unlimited")
    with smtp_server(tmp_path, "none", auth=False) as peer:
        peer.seconds = SECONDS
        section = SmtpSettings(host=peer.host, port=peer.port, tls="none", concurrency=PLACES)
        with application.bound(), bind(None):
            with as_plugin("mail"):
                app_singleton(Dispatchers).application = Dispatcher(
                    [ProviderChannel(SmtpProvider(section, Setup("mail.acme.example")), section)]
                )
            await application.runner.start()
            await application.reconciler.start()
            yield peer
            await application.reconciler.stop()
            await application.runner.stop()


async def taken(peer: SmtpPeer, text: str, seconds: float = 60.0) -> float:
    """Seconds until a message with the text in its head or body was taken."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not any(text in each.shown for each in list(peer.taken)):  # noqa: ASYNC110 - it is in another thread
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def statuses(within: Within, client: Client) -> set[tuple[Any, int]]:
    with within(client):
        return set(await Message.all().values_list("status", "attempts"))


@pytest.mark.timeout(180)
async def test_mail_when_another_tenants_batch_goes_through_a_slow_server_then_next_and_nothing_fails(
    two_tenants: TwoTenants, slow: SmtpPeer, within: Within
) -> None:
    await submit(two_tenants.acme, 400)
    await taken(slow, "a00010@example.com")
    single = asyncio.create_task(send(two_tenants.globex, to=["one@example.com"]))
    forgotten = {"email": "owner@globex.example"}
    reset = asyncio.create_task(two_tenants.anonymous.ask("POST", "/auth/password/forgot", 202, json=forgotten))
    await asyncio.gather(single, reset)
    before = len(slow.taken)
    assert await taken(slow, "owner@globex.example") < 5
    assert await taken(slow, "one@example.com") < 8
    assert len(slow.taken) - before < 60
    batches = await two_tenants.acme.ask("GET", "/mail/batches")
    await two_tenants.acme.ask("POST", f"/mail/batches/{batches[0]['id']}/cancel")
    before = len(slow.taken)
    await asyncio.sleep(1 + 4 * SECONDS)  # for what is in hand
    after = len(slow.taken)
    await asyncio.sleep(3 * SECONDS)
    assert len(slow.taken) == after
    assert after - before <= 40
    states = await statuses(within, two_tenants.acme) | await statuses(within, two_tenants.globex)
    assert {status for status, _ in states} == {Status.SENT, Status.CANCELLED}
    assert {attempts for _, attempts in states} == {0}


@pytest.mark.timeout(120)
async def test_worker_when_stopped_while_sessions_are_slow_then_what_was_in_hand_is_sent_once(
    two_tenants: TwoTenants, slow: SmtpPeer, within: Within
) -> None:
    application = two_tenants.application.inner
    await submit(two_tenants.acme, 40)
    await taken(slow, "a00005@example.com")
    await application.runner.stop()
    with within(two_tenants.acme):
        assert not await Message.filter(status=Status.SENDING).exists()
    with application.bound(), bind(None):
        await application.runner.start()
        application.wakeups.wake_soon()
    async with asyncio.timeout(60):
        while len(slow.taken) < 40:  # noqa: ASYNC110 - it is in another thread
            await asyncio.sleep(0.05)
    assert len({each.message_id for each in slow.taken}) == len(slow.taken) == 40
