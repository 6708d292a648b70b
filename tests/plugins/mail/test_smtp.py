"""SMTP: how the connection is secured and kept, and what a server's answers mean."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from host.execution_context import as_plugin
from host.outbound import addresses as outbound
from host.sdk import settings
from host.testing import TestApplication
from plugins.mail.addresses import Address
from plugins.mail.outgoing import Outgoing
from plugins.mail.providers import smtp_connections
from plugins.mail.providers.contract import ProviderUnavailable, Refused
from plugins.mail.providers.public_hosts import public_addresses
from plugins.mail.providers.smtp_server import SmtpProvider
from plugins.mail.providers.smtp_settings import SmtpSettings
from plugins.mail.providers.spec import Setup
from plugins.mail.service import dispatcher
from plugins.mail.settings import Settings
from tests.plugins.mail.peers.smtp import PASSWORD, USERNAME, SmtpPeer, smtp_server

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

MESSAGE = Outgoing(
    "<m@acme.example>",
    Address("", "a@acme.example"),
    (Address("", "one@example.com"), Address("", "two@example.com"), Address("", "three@example.com")),
    "Hi",
    "Hi",
)


def provider_of(peer: SmtpPeer, **changes: Any) -> SmtpProvider:
    values: dict[str, Any] = {
        "host": "localhost",
        "port": peer.port,
        "username": USERNAME,
        "password": SecretStr(PASSWORD),
        "ca_file": peer.ca_file,
        "timeout": 20.0,
    }
    return SmtpProvider(SmtpSettings(**{**values, **changes}), Setup("mail.acme.example"))


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[SmtpPeer]:
    with smtp_server(tmp_path) as made:
        yield made


# -- who we say we are -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("set_name", "shown"), [("", "acme.example"), ("out.acme.example", "out.acme.example")])
async def test_server_when_greeted_then_hears_the_senders_domain_or_the_name_that_is_set(
    tmp_path: Path, application: TestApplication, monkeypatch: pytest.MonkeyPatch, set_name: str, shown: str
) -> None:
    with smtp_server(tmp_path, "none", auth=False) as peer, application.inner.bound(), as_plugin("mail"):
        section = SmtpSettings(host=peer.host, port=peer.port, tls="none", ehlo_name=set_name)
        chosen = settings(Settings).model_copy(update={"from_address": "no-reply@acme.example"})
        monkeypatch.setattr(dispatcher, "settings", lambda model: chosen)
        provider = dispatcher._channel("smtp", section).provider
        await provider.deliver(MESSAGE)
        await provider.close()
        assert peer.greeted == [shown]


# -- TLS and passwords -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
async def test_connection_when_secured_in_each_way_then_delivers(tmp_path: Path, tls: Any) -> None:
    with smtp_server(tmp_path, tls) as peer:
        provider = provider_of(peer, tls=tls)
        await provider.deliver(MESSAGE)
        await provider.close()
        assert len(peer.taken) == 1


async def test_server_when_it_wants_no_password_then_none_is_given(tmp_path: Path) -> None:
    with smtp_server(tmp_path, "none", auth=False) as peer:
        provider = provider_of(peer, tls="none", username="", password=SecretStr(""))
        await provider.deliver(MESSAGE)
        await provider.close()
        assert len(peer.taken) == 1


async def test_starttls_when_the_server_has_none_then_refused_and_nothing_goes_in_the_clear(tmp_path: Path) -> None:
    with smtp_server(tmp_path, "none") as peer:
        with pytest.raises(Refused) as refused:
            await provider_of(peer, tls="starttls").deliver(MESSAGE)
        assert (refused.value.kind, refused.value.permanent) == ("provider", True)
        assert peer.taken == []


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize("changes", [{"ca_file": ""}, {"host": "127.0.0.2"}])
async def test_certificate_when_not_trusted_or_of_another_host_then_refused(
    tmp_path: Path, tls: Any, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with smtp_server(tmp_path, tls) as peer:
        if "host" in changes:  # the same server under a name that its certificate does not hold
            changes = {"host": "other.test"}
            resolve = socket.getaddrinfo
            monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more))
        with pytest.raises(Refused) as refused:
            await provider_of(peer, tls=tls, **changes).deliver(MESSAGE)
        assert (refused.value.kind, refused.value.permanent) == ("provider", True)
        assert "TLS" in refused.value.reason
        assert peer.taken == []


# -- answers ---------------------------------------------------------------------------------------------


async def test_recipients_when_some_are_refused_then_the_others_get_it_and_each_refusal_is_told(
    peer: SmtpPeer,
) -> None:
    peer.answers = {"one@example.com": "550 5.1.1 unknown", "two@example.com": "450 4.2.0 greylisted"}
    provider = provider_of(peer)
    receipt = await provider.deliver(MESSAGE)
    await provider.close()
    assert peer.taken[0].envelope == ["three@example.com"]
    told = {email: (each.permanent, each.kind, each.code) for email, each in receipt.refused.items()}
    assert told == {
        "one@example.com": (True, "address", "550 5.1.1"),
        "two@example.com": (False, "address", "450 4.2.0"),
    }


@pytest.mark.parametrize(
    ("answers", "permanent", "kind", "code"),
    [
        ({"one@example.com": "550 5.1.1 unknown"}, True, "address", "550 5.1.1"),
        ({"one@example.com": "550 unknown"}, True, "address", "550"),
        ({"one@example.com": "451 4.7.1 greylisted"}, False, "address", "451 4.7.1"),
        ({"one@example.com": "552 5.2.2 mailbox full"}, False, "address", "552 5.2.2"),
        ({"one@example.com": "554 5.7.1 relay access denied"}, False, "provider", "554 5.7.1"),
        ({"one@example.com": "504 5.5.2 <15b0717dc4c2>: Helo command rejected"}, False, "provider", "504 5.5.2"),
        ({"one@example.com": "503 sign in first"}, False, "provider", "503"),
        ({"MAIL": "550 5.1.8 sender refused"}, True, "content", "550 5.1.8"),
        ({"MAIL": "552 5.3.4 too large"}, True, "content", "552 5.3.4"),
        ({"MAIL": "452 4.3.1 no space"}, False, "provider", "452 4.3.1"),
        ({"MAIL": "530 5.7.0 sign in first"}, True, "provider", "530 5.7.0"),
        ({"DATA": "554 5.6.0 spam"}, True, "content", "554 5.6.0"),
        ({"DATA": "451 4.3.0 later"}, False, "provider", "451 4.3.0"),
    ],
)
async def test_answer_when_it_is_a_refusal_then_told_apart_and_the_connection_goes_on(
    peer: SmtpPeer, answers: dict[str, str], permanent: bool, kind: str, code: str
) -> None:
    provider, single = provider_of(peer), replace(MESSAGE, to=(Address("", "one@example.com"),))
    peer.answers = answers
    with pytest.raises(Refused) as refused:
        await provider.deliver(single)
    found = refused.value
    assert (found.permanent, found.kind, found.code) == (permanent, kind, code)
    peer.answers = {}
    await provider.deliver(single)
    await provider.close()
    assert (len(peer.taken), peer.connections) == (1, 1)


async def test_recipients_when_all_are_refused_and_one_only_for_now_then_for_now(peer: SmtpPeer) -> None:
    peer.answers = {
        "one@example.com": "550 5.1.1 unknown",
        "two@example.com": "451 4.2.0 later",
        "three@example.com": "550 5.1.1 unknown",
    }
    provider = provider_of(peer)
    with pytest.raises(Refused) as refused:
        await provider.deliver(MESSAGE)
    await provider.close()
    assert (refused.value.permanent, refused.value.code) == (False, "451 4.2.0")
    told = [refused.value.recipients[f"{name}@example.com"].permanent for name in ("one", "two", "three")]
    assert told == [True, False, True]


@pytest.mark.parametrize("answers", [{"MAIL": "421 4.3.2 bye"}, {"one@example.com": "421 bye"}, {"DATA": "421 bye"}])
async def test_answer_when_it_is_421_then_away_and_the_next_message_goes_over_a_new_connection(
    peer: SmtpPeer, answers: dict[str, str]
) -> None:
    provider = provider_of(peer)
    peer.answers = answers
    with pytest.raises(ProviderUnavailable):
        await provider.deliver(MESSAGE)
    peer.answers = {}
    await provider.deliver(MESSAGE)
    await provider.close()
    assert (len(peer.taken), peer.connections) == (1, 2)


async def test_message_when_the_connection_is_lost_right_after_it_was_taken_then_no_failure(peer: SmtpPeer) -> None:
    provider = provider_of(peer)
    peer.hang_up_after_data = True
    assert (await provider.deliver(MESSAGE)).provider_id == "LAST1"
    peer.hang_up_after_data = False
    await provider.deliver(MESSAGE)
    await provider.close()
    assert len(peer.taken) == 2


async def test_smtputf8_when_the_server_lacks_it_then_refused_for_good(peer: SmtpPeer) -> None:
    peer.utf8 = False
    provider = provider_of(peer)
    with pytest.raises(Refused) as refused:
        await provider.deliver(replace(MESSAGE, to=(Address("", "zoë@example.com"),)))
    assert (refused.value.permanent, refused.value.kind) == (True, "address")
    with pytest.raises(Refused) as refused:
        await provider.deliver(replace(MESSAGE, sender=Address("", "zoë@example.com")))
    assert (refused.value.permanent, refused.value.kind) == (True, "content")
    await provider.close()
    assert peer.taken == []


async def test_server_when_it_says_nothing_then_away_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = SmtpSettings(host="127.0.0.1", port=silent.getsockname()[1], tls="none", timeout=0.3)
        with pytest.raises(ProviderUnavailable):
            await SmtpProvider(settings, Setup("mail.acme.example")).deliver(MESSAGE)


# -- connections -----------------------------------------------------------------------------------------


async def test_connection_when_free_then_used_again_up_to_its_number_of_messages(
    peer: SmtpPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_connections, "MESSAGES", 4)
    provider = provider_of(peer)
    for _ in range(8):
        await provider.deliver(MESSAGE)
    assert peer.connections == 2
    await asyncio.gather(*(provider.deliver(MESSAGE) for _ in range(3)))
    assert peer.connections == 5
    await provider.close()


@pytest.mark.parametrize("limit", ["LIFE", "IDLE"])
async def test_connection_when_old_or_long_unused_then_replaced(
    peer: SmtpPeer, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    provider = provider_of(peer)
    await provider.deliver(MESSAGE)
    monkeypatch.setattr(smtp_connections, limit, 0.05)
    await asyncio.sleep(0.1)
    await provider.deliver(MESSAGE)
    await provider.close()
    assert (len(peer.taken), peer.connections) == (2, 2)


@pytest.mark.parametrize("farewell", ["421 4.4.2 idle for too long", ""])
async def test_connection_when_the_server_ends_it_meanwhile_then_another_is_opened_and_no_message_is_spent_on_it(
    peer: SmtpPeer, farewell: str
) -> None:
    provider = provider_of(peer)
    await asyncio.gather(*(provider.deliver(MESSAGE) for _ in range(3)))
    assert len(provider._connections._free) == 3
    peer.stale = farewell or "abort"
    await provider.deliver(MESSAGE)
    await provider.close()
    assert (len(peer.taken), peer.connections) == (4, 4)


async def test_message_when_cancelled_on_its_way_then_its_connection_is_not_used_again(peer: SmtpPeer) -> None:
    provider = provider_of(peer)
    await provider.deliver(MESSAGE)
    peer.seconds = 1.0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await provider.deliver(MESSAGE)
    peer.seconds = 0.0
    assert provider._connections._free == []
    await provider.deliver(MESSAGE)
    await provider.close()
    assert peer.connections == 2


# -- a tenant's server -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0", "127.1", "2130706433", "0x7f.1", "::1", "[::1]"])
async def test_host_when_it_leads_inside_however_it_is_written_then_refused(host: str) -> None:
    with pytest.raises((Refused, ProviderUnavailable)):
        await public_addresses(host, 25)


async def test_host_when_it_leads_inside_or_nowhere_then_told_in_the_same_words() -> None:
    said = set()
    for host in ("localhost", "no-such-name.invalid"):
        with pytest.raises((Refused, ProviderUnavailable)) as refused:
            await public_addresses(host, 25)
        said.add(str(refused.value).replace(host, "HOST"))
    assert said == {"HOST does not lead to a server on the public internet"}


async def test_server_of_a_tenant_when_its_name_leads_inside_then_never_connected(
    peer: SmtpPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = SmtpProvider(
        SmtpSettings(host="localhost", port=peer.port, ca_file=peer.ca_file),
        Setup("mail.acme.example", public_only=True),
    )
    with pytest.raises(Refused) as refused:
        await provider.deliver(MESSAGE)
    assert (refused.value.kind, refused.value.permanent) == ("provider", True)
    assert "public" in str(await provider.check())
    assert peer.connections == 0


async def test_server_of_a_tenant_when_its_name_resolves_otherwise_the_second_time_then_the_checked_address_is_used(
    peer: SmtpPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def rebinding(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append(str(host))
        return resolve("127.0.0.1" if len(asked) == 1 else "192.0.2.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(outbound, "is_public", lambda address: True)  # 127.0.0.1 plays a public address
    settings = SmtpSettings(
        host="localhost",
        port=peer.port,
        username=USERNAME,
        password=SecretStr(PASSWORD),
        ca_file=peer.ca_file,
    )
    provider = SmtpProvider(settings, Setup("mail.acme.example", public_only=True))
    await provider.deliver(MESSAGE)
    await provider.close()
    assert (len(peer.taken), asked) == (1, ["localhost"])


async def test_server_when_silent_after_the_whole_message_then_it_may_have_been_taken(peer: SmtpPeer) -> None:
    provider = provider_of(peer, timeout=0.5)
    await provider.check()
    peer.seconds = 2
    with pytest.raises(ProviderUnavailable) as away:
        await provider.deliver(MESSAGE)
    assert away.value.uncertain
    peer.mood = "away"
    with pytest.raises(ProviderUnavailable) as away:
        await provider.deliver(MESSAGE)
    assert not away.value.uncertain
    await provider.close()
