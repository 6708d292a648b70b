"""Addresses to send from: confirmed with a mailed code, by people of this tenant alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any
from uuid import uuid4

import pytest

from host.errors import ValidationFailed
from host.jobs.models import Job
from host.settings import Settings
from host.testing import Client, TestApplication, TwoTenants
from plugins.mail.models.senders import Sender
from plugins.mail.service import senders
from plugins.mail.service.senders import sender_for

Within = Callable[[Client], AbstractContextManager[None]]


@pytest.fixture
def acme(two_tenants: TwoTenants) -> Client:
    return two_tenants.acme


@pytest.fixture
def outbox(app_settings: Settings) -> Callable[[], list[str]]:
    """What the provider `file` wrote for acme, oldest first."""

    def read() -> list[str]:
        folder = app_settings.data.dir / "plugins" / "mail" / "outbox" / "acme"
        return [path.read_text() for path in sorted(folder.glob("*.eml"))]

    return read


async def added(
    application: TestApplication, client: Client, address: str = "Letters <Letters@acme.example>"
) -> dict[str, Any]:
    sender: dict[str, Any] = await client.ask("POST", "/mail/senders", 201, json={"address": address})
    await application.run_jobs()
    return sender


def code_of(mail: str) -> str:
    found = re.search(r"^    (\d{6})\r?$", mail, re.MULTILINE)
    assert found
    return found[1]


def other(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


# -- the happy way ---------------------------------------------------------------------------------------


async def test_sender_when_its_code_is_given_then_confirmed_and_may_be_used(
    application: TestApplication, acme: Client, within: Within, outbox: Callable[[], list[str]]
) -> None:
    sender = await added(application, acme)
    assert (sender["email"], sender["name"], sender["confirmed_at"]) == ("letters@acme.example", "Letters", None)
    with within(acme), pytest.raises(ValidationFailed) as refused:
        await sender_for("letters@acme.example")
    assert "from" in refused.value.details
    [mail] = outbox()
    message = message_from_bytes(mail.encode(), policy=default)
    assert (message["To"], message["X-Envelope-To"]) == ("letters@acme.example", "letters@acme.example")
    path = f"/mail/senders/{sender['id']}"
    confirmed = await acme.ask("POST", f"{path}/confirm", json={"code": code_of(mail)})
    assert confirmed["confirmed_at"] is not None
    assert await acme.ask("GET", path) == confirmed
    assert await acme.ask("GET", "/mail/senders") == [confirmed]
    assert await acme.ask("POST", f"{path}/confirm", json={"code": "000000"}) == confirmed  # it is, whatever is said
    with within(acme):
        assert str(await sender_for("letters@acme.example")) == "Letters <letters@acme.example>"
        assert str(await sender_for("Press <LETTERS@acme.example>")) == "Press <LETTERS@acme.example>"
        assert str(await sender_for(None)) == "Letters <letters@acme.example>"
    await acme.ask("DELETE", path, 204)
    await acme.ask("GET", path, 404)
    with within(acme), pytest.raises(ValidationFailed):
        await sender_for("letters@acme.example")
    entries = await acme.ask("GET", f"/audit/resources/sender/{sender['id']}")
    assert {entry["action"] for entry in entries} == {
        f"mail.senders.{verb}" for verb in ("create", "confirm", "delete")
    }


async def test_sender_when_none_is_confirmed_then_the_deployments_with_the_tenants_name(
    acme: Client, within: Within
) -> None:
    with within(acme):
        assert str(await sender_for(None)) == "Acme <no-reply@tenantry.local>"
        with pytest.raises(ValidationFailed):
            await sender_for("no-reply@tenantry.local")


async def test_sender_when_the_tenant_chose_one_then_that_unless_it_is_not_confirmed(
    application: TestApplication, acme: Client, within: Within, outbox: Callable[[], list[str]]
) -> None:
    first = await added(application, acme, "first@acme.example")
    await acme.ask("POST", f"/mail/senders/{first['id']}/confirm", json={"code": code_of(outbox()[0])})
    second = await added(application, acme, "second@acme.example")
    await acme.ask("PUT", "/tenant/plugins/mail/settings", json={"sender": "Two <second@acme.example>"})
    with within(acme), pytest.raises(ValidationFailed):
        await sender_for(None)
    await acme.ask("POST", f"/mail/senders/{second['id']}/confirm", json={"code": code_of(outbox()[1])})
    with within(acme):
        assert str(await sender_for(None)) == "Two <second@acme.example>"


# -- codes -----------------------------------------------------------------------------------------------


async def test_code_when_stored_then_only_hashed_and_never_in_a_job_or_an_answer(
    application: TestApplication, acme: Client, within: Within, outbox: Callable[[], list[str]]
) -> None:
    sender = await added(application, acme)
    code = code_of(outbox()[0])
    with within(acme):
        row = await Sender.get(id=sender["id"])
        assert code not in row.code_hash
        assert senders._matches(code, row.code_hash)
    with application.inner.bound():
        assert not any(code in str(job.arguments) for job in await Job.all())
    assert "code_hash" not in await acme.ask("GET", f"/mail/senders/{sender['id']}")


async def test_code_when_guessed_at_five_times_then_even_the_right_one_is_refused_until_another_is_mailed(
    application: TestApplication, acme: Client, outbox: Callable[[], list[str]]
) -> None:
    sender = await added(application, acme)
    path, code = f"/mail/senders/{sender['id']}", code_of(outbox()[0])
    for _ in range(5):
        wrong = await acme.ask("POST", f"{path}/confirm", 422, json={"code": other(code)})
        assert "code" in wrong["details"]
    refused = await acme.ask("POST", f"{path}/confirm", 409, json={"code": code})
    assert refused["code"] == "CONFLICT"
    await acme.ask("POST", f"{path}/resend", 202)
    await application.run_jobs()
    newer = code_of(outbox()[1])
    if newer != code:
        await acme.ask("POST", f"{path}/confirm", 422, json={"code": code})
    confirmed = await acme.ask("POST", f"{path}/confirm", json={"code": newer})
    assert confirmed["confirmed_at"]
    await acme.ask("POST", f"{path}/resend", 409)


async def test_code_when_expired_then_refused(
    application: TestApplication, acme: Client, within: Within, outbox: Callable[[], list[str]]
) -> None:
    sender = await added(application, acme)
    with within(acme):
        await Sender.filter(id=sender["id"]).update(code_expires_at=datetime.now(UTC) - timedelta(seconds=1))
    code = code_of(outbox()[0])
    await acme.ask("POST", f"/mail/senders/{sender['id']}/confirm", 409, json={"code": code})


async def test_codes_when_ten_were_mailed_within_the_hour_then_429_even_for_senders_deleted_meanwhile(
    application: TestApplication, acme: Client, two_tenants: TwoTenants
) -> None:
    for number in range(10):
        sender = await acme.ask("POST", "/mail/senders", 201, json={"address": f"s{number}@acme.example"})
        await acme.ask("DELETE", f"/mail/senders/{sender['id']}", 204)
    refused = await acme.ask("POST", "/mail/senders", 429, json={"address": "one-more@acme.example"})
    assert refused["code"] == "RATE_LIMITED"
    await two_tenants.globex.ask("POST", "/mail/senders", 201, json={"address": "news@globex.example"})
    await application.run_jobs()


async def test_code_when_its_mail_is_refused_for_good_then_the_sender_says_why(
    application: TestApplication, acme: Client, within: Within
) -> None:
    sender = await acme.ask("POST", "/mail/senders", 201, json={"address": "letters@acme.example"})
    with within(acme):
        await Sender.filter(id=sender["id"]).update(email="broken\n@acme.example")
    await application.run_jobs()
    assert "control characters" in (await acme.ask("GET", f"/mail/senders/{sender['id']}"))["code_error"]


# -- wrong input, other people ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"address": "nobody"},
        {"address": "a@acme.example\r\nBcc: b@acme.example"},
        {"address": "a@acme.example, b@acme.example"},
        {"address": "=?utf-8?q?x?= <a@acme.example>"},
        {"address": "a@acme.example", "confirmed_at": "2026-01-01T00:00:00Z"},
    ],
)
async def test_sender_when_wrongly_written_then_422_and_no_code_is_mailed(
    application: TestApplication, acme: Client, outbox: Callable[[], list[str]], body: dict[str, Any]
) -> None:
    assert (await acme.ask("POST", "/mail/senders", 422, json=body))["code"] == "VALIDATION_ERROR"
    await application.run_jobs()
    assert outbox() == []


async def test_sender_when_there_already_then_conflict_however_it_is_spelt(
    application: TestApplication, acme: Client
) -> None:
    await added(application, acme)
    await acme.ask("POST", "/mail/senders", 409, json={"address": "Other <LETTERS@ACME.example>"})


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "", "１２３４５６"])
async def test_code_when_not_six_digits_then_422_and_no_try_is_spent(
    application: TestApplication, acme: Client, within: Within, code: str
) -> None:
    sender = await added(application, acme)
    await acme.ask("POST", f"/mail/senders/{sender['id']}/confirm", 422, json={"code": code})
    with within(acme):
        assert (await Sender.get(id=sender["id"])).code_tries == 0


async def test_sender_when_another_tenants_then_404_as_if_it_never_was(
    application: TestApplication, two_tenants: TwoTenants, within: Within, outbox: Callable[[], list[str]]
) -> None:
    sender = await added(application, two_tenants.acme)
    code = code_of(outbox()[0])
    await two_tenants.acme.ask("POST", f"/mail/senders/{sender['id']}/confirm", json={"code": code})
    for sender_id in (sender["id"], uuid4()):
        path = f"/mail/senders/{sender_id}"
        await two_tenants.globex.ask("GET", path, 404)
        await two_tenants.globex.ask("DELETE", path, 404)
        await two_tenants.globex.ask("POST", f"{path}/confirm", 404, json={"code": code})
        await two_tenants.globex.ask("POST", f"{path}/resend", 404)
    assert await two_tenants.globex.ask("GET", "/mail/senders") == []
    with within(two_tenants.globex), pytest.raises(ValidationFailed):
        await sender_for("letters@acme.example")


async def test_sender_when_asked_for_without_the_permission_then_403(
    application: TestApplication, two_tenants: TwoTenants
) -> None:
    sender = await added(application, two_tenants.acme)
    path = f"/mail/senders/{sender['id']}"
    for client in (two_tenants.acme_member, two_tenants.acme_viewer):
        assert len(await client.ask("GET", "/mail/senders")) == 1
        await client.ask("POST", "/mail/senders", 403, json={"address": "x@acme.example"})
        await client.ask("POST", f"{path}/confirm", 403, json={"code": "123456"})
        await client.ask("POST", f"{path}/resend", 403)
        await client.ask("DELETE", path, 403)
    await two_tenants.anonymous.ask("GET", "/mail/senders", 401, headers={"X-Tenant": "acme"})


async def test_sender_when_the_plugin_is_off_then_404(acme: Client) -> None:
    await acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": False})
    assert (await acme.ask("GET", "/mail/senders", 404))["code"] == "PLUGIN_DISABLED"
