"""What the HTTP providers make of answers beyond the contract, and the files of the provider `file`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from host.execution_context import as_plugin
from host.sdk import app_singleton, data_folder
from host.testing import TestApplication, TwoTenants
from plugins.mail.addresses import Address
from plugins.mail.outgoing import Outgoing
from plugins.mail.providers.contract import ProviderUnavailable, Refused
from plugins.mail.providers.file import FileProvider
from plugins.mail.providers.http_api import LONGEST_WAIT
from plugins.mail.providers.mailgun import MailgunProvider, MailgunSettings
from plugins.mail.providers.sendgrid import SendGridProvider, SendGridSettings
from plugins.mail.providers.ses import SesProvider, SesSettings
from tenants.context import bind
from tests.plugins.mail.peers import mailgun, sendgrid, ses
from tests.plugins.mail.peers.mailgun import MailgunPeer
from tests.plugins.mail.peers.sendgrid import SendGridPeer
from tests.plugins.mail.peers.ses import SesPeer

MESSAGE = Outgoing("<m-1@acme.example>", Address("", "a@acme.example"), (Address("", "b@example.com"),), "Hi", "Hi")
CROWD = tuple(Address("", f"p{number}@example.com") for number in range(1001))


@pytest.fixture
async def sendgrid_peer() -> AsyncIterator[tuple[SendGridPeer, SendGridProvider]]:
    async with sendgrid.sendgrid_server() as peer:
        provider = SendGridProvider(SendGridSettings(api_key=SecretStr(sendgrid.KEY), endpoint=peer.endpoint))
        yield peer, provider
        await provider.close()
        assert peer.wrong == []


@pytest.fixture
async def mailgun_peer() -> AsyncIterator[tuple[MailgunPeer, MailgunProvider]]:
    async with mailgun.mailgun_server() as peer:
        key, domain = SecretStr(mailgun.KEY), mailgun.DOMAIN
        provider = MailgunProvider(MailgunSettings(api_key=key, domain=domain, endpoint=peer.endpoint))
        yield peer, provider
        await provider.close()
        assert peer.wrong == []


@pytest.fixture
async def ses_peer() -> AsyncIterator[tuple[SesPeer, SesProvider]]:
    async with ses.ses_server() as peer:
        settings = SesSettings(
            region=ses.REGION,
            access_key=SecretStr(ses.KEY),
            secret_key=SecretStr(ses.SECRET),
            endpoint=peer.endpoint,
            configuration_set="news",
        )
        provider = SesProvider(settings)
        yield peer, provider
        await provider.close()
        assert peer.wrong == []


# -- SendGrid --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "kind"), [(400, "content"), (413, "content"), (401, "provider"), (403, "provider")])
async def test_sendgrid_when_it_complains_then_told_what_it_is_about(
    sendgrid_peer: tuple[SendGridPeer, SendGridProvider], status: int, kind: str
) -> None:
    peer, provider = sendgrid_peer
    peer.answer = sendgrid.errors(status, "not so", "headers")
    with pytest.raises(Refused) as refused:
        await provider.deliver(MESSAGE)
    found = refused.value
    assert (found.permanent, found.kind, found.code) == (True, kind, str(status))
    assert "not so" in found.reason


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, timedelta(seconds=7)),
        ({"Retry-After": "999999"}, LONGEST_WAIT),
        ({"Retry-After": "soon"}, None),
        ({"X-RateLimit-Reset": "1"}, timedelta()),
        ({"X-RateLimit-Reset": "9" * 30}, None),
        ({}, None),
    ],
)
async def test_sendgrid_when_it_asks_to_wait_then_as_long_as_can_be_understood(
    sendgrid_peer: tuple[SendGridPeer, SendGridProvider], headers: dict[str, str], wait: timedelta | None
) -> None:
    peer, provider = sendgrid_peer
    peer.answer = sendgrid.errors(429, "too many requests", headers=headers)
    with pytest.raises(ProviderUnavailable) as away:
        await provider.deliver(MESSAGE)
    assert away.value.wait == wait


async def test_sendgrid_when_there_are_too_many_recipients_then_refused_without_asking(
    sendgrid_peer: tuple[SendGridPeer, SendGridProvider],
) -> None:
    peer, provider = sendgrid_peer
    with pytest.raises(Refused):
        await provider.deliver(replace(MESSAGE, to=CROWD))
    assert peer.requests == 0
    await provider.deliver(replace(MESSAGE, to=CROWD[:1000]))


async def test_sendgrid_when_the_key_may_not_send_then_check_says_so(
    sendgrid_peer: tuple[SendGridPeer, SendGridProvider],
) -> None:
    peer, provider = sendgrid_peer
    peer.answer = web.json_response({"scopes": ["stats.read"]})
    assert await provider.check() == "the SendGrid key may not send mail"


# -- Mailgun ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "<html>ok</html>", "[]", '{"id": null}'])
async def test_mailgun_when_it_took_a_message_and_says_so_oddly_then_no_failure(
    mailgun_peer: tuple[MailgunPeer, MailgunProvider], text: str
) -> None:
    peer, provider = mailgun_peer
    peer.answer = web.Response(text=text)
    assert (await provider.deliver(MESSAGE)).provider == "mailgun"


async def test_mailgun_when_the_message_is_too_large_then_its_content_is_refused(
    mailgun_peer: tuple[MailgunPeer, MailgunProvider],
) -> None:
    peer, provider = mailgun_peer
    peer.answer = mailgun.message(413, "Message exceeds the maximum size")
    with pytest.raises(Refused) as refused:
        await provider.deliver(MESSAGE)
    assert (refused.value.kind, refused.value.permanent) == ("content", True)


async def test_mailgun_when_the_domain_is_not_there_then_the_provider_is_refused(
    mailgun_peer: tuple[MailgunPeer, MailgunProvider],
) -> None:
    peer, _ = mailgun_peer
    key = SecretStr(mailgun.KEY)
    provider = MailgunProvider(MailgunSettings(api_key=key, domain="other.example", endpoint=peer.endpoint))
    with pytest.raises(Refused) as refused:
        await provider.deliver(MESSAGE)
    assert refused.value.kind == "provider"
    assert "Domain not found" in str(await provider.check())
    await provider.close()


# -- Amazon SES ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "text", "expected"),
    [
        (400, "MessageRejected", "content", ("content", True)),
        (400, "MessageRejected", "Email address is not verified: a@acme.example", ("provider", True)),
        (400, "MailFromDomainNotVerifiedException", "x", ("provider", True)),
        (400, "AccountSuspendedException", "x", ("provider", True)),
        (400, "SendingPausedException", "x", ("provider", True)),
        (404, "NotFoundException", "no such configuration set", ("provider", True)),
        (400, "LimitExceededException", "x", None),
        (500, "InternalFailure", "x", None),
    ],
)
async def test_ses_when_it_complains_then_told_what_it_is_about_after_one_request(
    ses_peer: tuple[SesPeer, SesProvider], status: int, code: str, text: str, expected: tuple[str, bool] | None
) -> None:
    peer, provider = ses_peer
    peer.answer = ses.error(status, code, text)
    with pytest.raises((Refused, ProviderUnavailable)) as raised:
        await provider.deliver(MESSAGE)
    found = raised.value
    assert ((found.kind, found.permanent) if isinstance(found, Refused) else None) == expected
    assert peer.requests == 1  # a second try by the library could send twice


async def test_ses_when_there_are_too_many_recipients_then_refused_without_asking(
    ses_peer: tuple[SesPeer, SesProvider],
) -> None:
    peer, provider = ses_peer
    with pytest.raises(Refused):
        await provider.deliver(replace(MESSAGE, to=CROWD[:51]))
    assert peer.requests == 0
    await provider.deliver(replace(MESSAGE, to=CROWD[:50]))


async def test_ses_when_the_reference_is_no_tag_then_it_goes_in_the_header_alone(
    ses_peer: tuple[SesPeer, SesProvider],
) -> None:
    peer, provider = ses_peer
    await provider.deliver(replace(MESSAGE, reference="a/b", category="für alle"))
    [taken] = peer.taken
    assert (taken.reference, taken.headers["X-Tenantry-Reference"]) == ("", "a/b")


async def test_ses_when_the_key_is_wrong_then_its_signature_is_refused(ses_peer: tuple[SesPeer, SesProvider]) -> None:
    peer, _ = ses_peer
    keys = {"access_key": SecretStr(ses.KEY), "secret_key": SecretStr("wrong")}
    provider = SesProvider(SesSettings(region=ses.REGION, endpoint=peer.endpoint, **keys))  # type: ignore[arg-type]
    with pytest.raises(Refused) as refused:
        await provider.deliver(MESSAGE)
    assert (refused.value.kind, refused.value.code) == ("provider", "SignatureDoesNotMatch")
    await provider.close()


# -- files -----------------------------------------------------------------------------------------------


async def test_file_when_written_then_in_the_tenants_folder_whole_and_for_nobody_else_to_read(
    two_tenants: TwoTenants, tmp_path: Path
) -> None:
    provider, started = FileProvider(tmp_path / "outbox"), datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    await provider.deliver(MESSAGE)
    with two_tenants.application.inner.bound(), bind(two_tenants.acme.tenant_id), as_plugin("mail"):
        receipt = await provider.deliver(replace(MESSAGE, message_id="<../../x/ü@acme.example>".replace("ü", "u")))
    files = sorted(path.relative_to(tmp_path / "outbox") for path in (tmp_path / "outbox").rglob("*.*"))
    assert [path.parent.as_posix() for path in files] == ["_host", "acme"]
    assert files[0].name.endswith("-m-1.eml")
    assert files[0].name >= started
    assert receipt.provider_id == files[1].as_posix()
    for path in files:
        assert (tmp_path / "outbox" / path).stat().st_mode & 0o777 == 0o600


# -- what the host gives --------------------------------------------------------------------------------


async def test_kept_when_asked_twice_then_made_once_for_each_application(application: TestApplication) -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    with application.inner.bound():
        assert app_singleton(make) is app_singleton(make)
        with as_plugin("mail"):
            assert data_folder() == application.inner.settings.data.dir / "plugins" / "mail"
            assert data_folder().is_dir()
    assert len(made) == 1
