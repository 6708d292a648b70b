"""One contract over five providers, each against a peer that holds it to its documentation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from plugins.mail.addresses import Address
from plugins.mail.outgoing import Attached, Outgoing
from plugins.mail.providers.contract import Provider, ProviderUnavailable, Refused
from plugins.mail.providers.file import FileProvider
from plugins.mail.providers.mailgun import MailgunProvider, MailgunSettings
from plugins.mail.providers.sendgrid import SendGridProvider, SendGridSettings
from plugins.mail.providers.ses import SesProvider, SesSettings
from plugins.mail.providers.smtp_server import SmtpProvider
from plugins.mail.providers.smtp_settings import SmtpSettings
from plugins.mail.providers.spec import Setup
from tests.plugins.mail.peers import mailgun, sendgrid, ses, smtp
from tests.plugins.mail.peers.http import HttpPeer
from tests.plugins.mail.peers.taken import NOBODY, SPAM, Taken, from_mime

MESSAGE = Outgoing(
    message_id="<01a1fc78-1@acme.example>",
    sender=Address("Acme, GmbH", "news@acme.example"),
    to=(Address("Zoë; Müller", "zoe@example.com"), Address("", "ada@example.com")),
    cc=(Address("", "cc@example.com"),),
    bcc=(Address("", "hidden@example.com"), Address("", "ADA@example.com")),
    reply_to=(Address("Help", "help@acme.example"), Address("", "two@acme.example")),
    subject="Grüße aus München",
    text="Grüße\n.\nEnde",
    html="<p>Grüße &amp; Küsse</p>",
    headers=(
        ("List-Unsubscribe", f"<https://app.example.com/u/{'x' * 120}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ),
    attachments=(Attached("März.pdf", "application/pdf", bytes(range(256)) * 40),),
    reference="cGFzcw-_0",
    category="newsletter",
)


@dataclass
class FilePeer:
    """Reads what was written."""

    folder: Path

    @property
    def taken(self) -> list[Taken]:
        found = []
        for file in sorted(self.folder.rglob("*.eml")):
            head, _, message = file.read_bytes().replace(b",\r\n ", b",").partition(b"\r\n")
            found.append(from_mime(message, head.decode().removeprefix("X-Envelope-To: ").split(",")))
        return found


@dataclass
class Setting:
    """A provider and its peer."""

    provider: Provider
    peer: Any

    @property
    def name(self) -> str:
        return self.provider.name

    @property
    def taken(self) -> Sequence[Taken]:
        found: Sequence[Taken] = self.peer.taken
        return found


@pytest.fixture(params=["file", "smtp", "sendgrid", "mailgun", "ses"])
async def setting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Setting]:
    """Each of the five; whatever a peer found wrong with a request fails the test."""
    async with AsyncExitStack() as stack:
        made = await _made(request.param, tmp_path, stack)
        stack.push_async_callback(made.provider.close)
        yield made
        assert getattr(made.peer, "wrong", []) == []


async def _made(name: str, folder: Path, stack: AsyncExitStack) -> Setting:
    provider: Provider
    match name:
        case "smtp":
            peer = stack.enter_context(smtp.smtp_server(folder))
            return Setting(SmtpProvider(smtp_settings(peer), Setup("mail.acme.example")), peer)
        case "sendgrid":
            sendgrid_peer = await stack.enter_async_context(sendgrid.sendgrid_server())
            key = SecretStr(sendgrid.KEY)
            provider = SendGridProvider(SendGridSettings(api_key=key, endpoint=sendgrid_peer.endpoint))
            return Setting(provider, sendgrid_peer)
        case "mailgun":
            mailgun_peer = await stack.enter_async_context(mailgun.mailgun_server())
            chosen = MailgunSettings(
                api_key=SecretStr(mailgun.KEY), domain=mailgun.DOMAIN, endpoint=mailgun_peer.endpoint
            )
            return Setting(MailgunProvider(chosen), mailgun_peer)
        case "ses":
            ses_peer = await stack.enter_async_context(ses.ses_server())
            settings = SesSettings(
                region=ses.REGION,
                access_key=SecretStr(ses.KEY),
                secret_key=SecretStr(ses.SECRET),
                endpoint=ses_peer.endpoint,
            )
            return Setting(SesProvider(settings), ses_peer)
        case _:
            return Setting(FileProvider(folder / "outbox"), FilePeer(folder / "outbox"))


def smtp_settings(peer: smtp.SmtpPeer, **changes: Any) -> SmtpSettings:
    values: dict[str, Any] = {
        "host": "localhost",
        "port": peer.port,
        "username": smtp.USERNAME,
        "password": SecretStr(smtp.PASSWORD),
        "tls": "starttls",
        "ca_file": peer.ca_file,
        "timeout": 20.0,
    }
    return SmtpSettings(**{**values, **changes})


def numbered(number: int) -> Outgoing:
    to = (Address("", f"p{number}@example.com"),)
    return replace(MESSAGE, message_id=f"<m{number}@acme.example>", to=to, cc=(), bcc=(), attachments=())


# -- handed over -----------------------------------------------------------------------------------------


async def test_message_when_delivered_then_everybody_gets_all_of_it_and_nobody_sees_bcc(setting: Setting) -> None:
    receipt = await setting.provider.deliver(MESSAGE)
    assert (receipt.provider, dict(receipt.refused)) == (setting.name, {})
    assert receipt.provider_id
    [taken] = setting.taken
    people = {address.lower() for address in taken.envelope}
    assert people == {"zoe@example.com", "ada@example.com", "cc@example.com", "hidden@example.com"}
    assert (taken.sender, taken.subject) == ("news@acme.example", "Grüße aus München")
    assert taken.text.splitlines() == ["Grüße", ".", "Ende"]
    assert taken.html == "<p>Grüße &amp; Küsse</p>"
    assert taken.files == [("März.pdf", "application/pdf", bytes(range(256)) * 40)]
    assert dict(MESSAGE.headers).items() <= taken.headers.items()
    assert "hidden@" not in taken.shown


async def test_message_id_when_delivered_then_survives(setting: Setting) -> None:
    receipt = await setting.provider.deliver(MESSAGE)
    [taken] = setting.taken
    if setting.name == "ses":  # which overrides it, and tells us with what
        assert taken.headers["Original-Message-ID"] == MESSAGE.message_id
        assert taken.message_id == f"<{receipt.provider_id}@{ses.REGION}.amazonses.com>"
    else:
        assert taken.message_id == MESSAGE.message_id


async def test_reference_when_the_provider_tells_back_then_handed_through(setting: Setting) -> None:
    await setting.provider.deliver(MESSAGE)
    [taken] = setting.taken
    assert taken.reference == ("" if setting.name in ("file", "smtp") else MESSAGE.reference)


async def test_message_when_only_bcc_or_one_body_then_delivered(setting: Setting) -> None:
    await setting.provider.deliver(replace(MESSAGE, to=(), cc=(), html="", attachments=()))
    await setting.provider.deliver(replace(MESSAGE, to=(), text="", attachments=(), bcc=()))
    reached = {address.lower() for taken in setting.taken for address in taken.envelope}
    assert reached == {"hidden@example.com", "ada@example.com", "cc@example.com"}
    assert {"\n".join(taken.text.splitlines()) for taken in setting.taken} == {"Grüße\n.\nEnde", ""}


async def test_messages_when_many_at_once_then_each_taken_once(setting: Setting) -> None:
    await asyncio.gather(*(setting.provider.deliver(numbered(number)) for number in range(40)))
    kept = "Original-Message-ID" if setting.name == "ses" else "Message-ID"
    found = sorted(taken.headers[kept] for taken in setting.taken)
    assert found == sorted(numbered(number).message_id for number in range(40))


async def test_provider_when_closed_then_opens_again_for_the_next(setting: Setting) -> None:
    await setting.provider.deliver(numbered(1))
    await setting.provider.close()
    await setting.provider.close()
    await setting.provider.deliver(numbered(2))
    assert len(setting.taken) == 2


# -- refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "Hi\r\nBcc: eve@example.com"},
        {"sender": Address("Eve\nX: y", "eve@example.com")},
        {"to": (Address("", "a@example.com\r\nRCPT TO:<eve@example.com>"),)},
        {"reply_to": (Address("a\x00b", "a@example.com"),)},
        {"headers": (("List-Unsubscribe", "<x>\r\nBcc: eve@example.com"),)},
        {"headers": (("Bcc", "eve@example.com"),)},
        {"message_id": "<x@y>\r\nBcc: eve@example.com"},
        {"attachments": (Attached("a\r\nb.txt", "text/plain", b""),)},
        {"attachments": (Attached("a.txt", "text/plain\r\nX: y", b""),)},
    ],
)
async def test_message_when_it_would_break_out_of_a_header_then_refused_for_good_and_nothing_sent(
    setting: Setting, changes: dict[str, Any]
) -> None:
    with pytest.raises(Refused) as refused:
        await setting.provider.deliver(replace(MESSAGE, **changes))
    assert (refused.value.permanent, refused.value.kind) == (True, "content")
    assert len(setting.taken) == 0


async def test_address_when_it_needs_smtputf8_then_delivered_where_that_is_known_else_refused_for_good(
    setting: Setting,
) -> None:
    outgoing = replace(MESSAGE, to=(Address("", "zoë@example.com"),))
    if setting.name in ("file", "smtp"):
        await setting.provider.deliver(outgoing)
        assert "zoë@example.com" in setting.taken[0].envelope
        return
    with pytest.raises(Refused) as refused:
        await setting.provider.deliver(outgoing)
    assert (refused.value.permanent, refused.value.kind) == (True, "address")
    assert list(refused.value.recipients) == ["zoë@example.com"]
    assert len(setting.taken) == 0


async def test_recipient_when_refused_then_says_so_for_good(setting: Setting) -> None:
    if setting.name in ("file", "ses"):
        pytest.skip("takes every address")
    outgoing = replace(numbered(1), to=(Address("", f"{NOBODY}example.com"),))
    with pytest.raises(Refused) as refused:
        await setting.provider.deliver(outgoing)
    assert (refused.value.permanent, refused.value.kind) == (True, "address")
    assert list(refused.value.recipients) == [f"{NOBODY}example.com"]
    assert refused.value.code
    await setting.provider.deliver(numbered(2))
    assert len(setting.taken) == 1


async def test_content_when_refused_then_says_so_for_good(setting: Setting) -> None:
    if setting.name == "file":
        pytest.skip("takes everything")
    with pytest.raises(Refused) as refused:
        await setting.provider.deliver(replace(MESSAGE, subject=SPAM))
    assert (refused.value.permanent, refused.value.kind) == (True, "content")
    await setting.provider.deliver(numbered(2))
    assert len(setting.taken) == 1


# -- not reached -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", ["away", "throttled"])
async def test_provider_when_it_cannot_now_then_away_and_when_it_can_again_then_delivers(
    setting: Setting, mood: str
) -> None:
    if setting.name == "file":
        pytest.skip("is always there")
    await setting.provider.deliver(numbered(1))
    setting.peer.mood = mood
    with pytest.raises(ProviderUnavailable) as away:
        await setting.provider.deliver(numbered(2))
    assert away.value.tried
    if mood == "throttled" and setting.name in ("sendgrid", "mailgun"):
        assert away.value.wait is not None
        assert timedelta(seconds=20) < away.value.wait <= timedelta(seconds=30)
    setting.peer.mood = "well"
    await setting.provider.deliver(numbered(2))
    assert len(setting.taken) == 2


async def test_provider_when_nobody_listens_then_away(setting: Setting) -> None:
    match setting.provider:
        case SmtpProvider():
            lonely: Provider = SmtpProvider(
                SmtpSettings(host="127.0.0.1", port=1, tls="none"), Setup("mail.acme.example")
            )
        case SendGridProvider():
            lonely = SendGridProvider(SendGridSettings(endpoint="http://127.0.0.1:1"))
        case MailgunProvider():
            lonely = MailgunProvider(MailgunSettings(domain="x.example", endpoint="http://127.0.0.1:1"))
        case SesProvider():
            key = {"access_key": SecretStr("x"), "secret_key": SecretStr("y")}
            lonely = SesProvider(SesSettings(endpoint="http://127.0.0.1:1", **key))  # type: ignore[arg-type]
        case _:
            lonely = FileProvider(Path("/proc/nowhere"))
    with pytest.raises(ProviderUnavailable):
        await lonely.deliver(numbered(1))
    assert await lonely.check() is not None
    await lonely.close()


async def test_key_when_wrong_then_the_provider_is_refused_and_no_secret_shows(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    if setting.name == "file":
        pytest.skip("has no key")
    setting.peer.mood = "locked"
    with caplog.at_level(logging.DEBUG), pytest.raises(Refused) as refused:
        await setting.provider.deliver(MESSAGE)
    assert (refused.value.permanent, refused.value.kind) == (True, "provider")
    said = f"{refused.value} {refused.value.reason}"
    for secret in (smtp.PASSWORD, sendgrid.KEY, mailgun.KEY, ses.SECRET):
        assert secret not in said
    assert await setting.provider.check() is not None
    setting.peer.mood = "well"
    await setting.provider.deliver(numbered(1))


# -- asked beforehand ------------------------------------------------------------------------------------


async def test_check_when_well_then_none_and_when_away_then_a_sentence_and_nothing_is_sent(setting: Setting) -> None:
    assert await setting.provider.check() is None
    if isinstance(setting.peer, HttpPeer):
        setting.peer.mood = "away"
        assert await setting.provider.check()
    assert len(setting.taken) == 0
