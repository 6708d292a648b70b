"""Account mail: what people get when the host announces something, and what it never writes down."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest

from host.identity.events import EmailChanged, PasswordChanged, RegistrationRepeated, SignInLinked, SignInUnlinked
from host.jobs.models import Job
from host.sdk import unit_of_work
from host.testing import TestApplication, TwoTenants
from plugins.mail.models import Message
from plugins.mail.providers.contract import ProviderUnavailable, Refused
from tests.plugins.mail.conftest import MakeDue, Outbound, Within
from tests.plugins.mail.test_messages import used

PERSON = {"email": "new@example.com", "password": "correct horse battery", "name": "Nina"}


async def register(two_tenants: TwoTenants) -> None:
    await two_tenants.anonymous.ask("POST", "/auth/register", 201, json=PERSON)
    await two_tenants.application.run_jobs()


def about(outbound: Outbound, word: str) -> Any:
    return next(each for each in outbound.taken if word in each.text)


async def test_registration_when_done_then_welcome_and_a_link_that_proves_the_address(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await register(two_tenants)
    assert outbound.recipients == ["new@example.com"] * 2
    link = about(outbound, "verify-email")
    assert "Nina" in link.text
    assert "verify-email?token=" in link.html
    assert link.sender.email == "no-reply@tenantry.local"


async def test_password_when_forgotten_then_changed_then_told_of_both(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await register(two_tenants)
    outbound.taken.clear()
    await two_tenants.anonymous.ask("POST", "/auth/password/forgot", 202, json={"email": "new@example.com"})
    await two_tenants.application.run_jobs()
    [reset] = outbound.taken
    token = reset.text.partition("token=")[2].split()[0].strip(").>")
    body = {"token": token, "password": "another good passphrase"}
    await two_tenants.anonymous.ask("POST", "/auth/password/reset", 200, json=body)
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["new@example.com"] * 2


async def test_registration_when_repeated_then_only_the_owner_is_told(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    owner = {"user_id": two_tenants.acme.user_id, "email": "owner@acme.example", "name": "Olga"}
    with two_tenants.application.inner.bound():
        async with unit_of_work() as work:
            work.announce(RegistrationRepeated.model_validate(owner))
    await two_tenants.application.run_jobs()
    [outgoing] = outbound.taken
    assert outgoing.recipients == ("owner@acme.example",)
    assert "Olga" in outgoing.text


async def test_invitation_when_made_then_sent_for_the_organisation_and_free(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    roles = await two_tenants.acme.ask("GET", "/tenant/roles")
    member = next(role["id"] for role in roles if role["name"] == "member")
    await two_tenants.acme.ask(
        "POST", "/tenant/invitations", 201, json={"email": "guest@example.com", "role_id": member}
    )
    await two_tenants.application.run_jobs()
    [outgoing] = outbound.taken
    assert outgoing.recipients == ("guest@example.com",)
    assert "Acme" in outgoing.text
    assert "accept-invitation?token=" in outgoing.text
    assert await used(two_tenants.acme) == 0
    with within(two_tenants.acme):
        assert await Message.all().count() == 0  # the link is a secret


@pytest.mark.parametrize("name", ["Join http://evil.example now", "www.evil.example/x", "evil。example"])
async def test_invitation_when_the_organisation_is_called_like_a_link_then_none_is_made_of_it(
    two_tenants: TwoTenants, outbound: Outbound, name: str
) -> None:
    await two_tenants.acme.ask("PATCH", "/tenant", json={"name": name})
    roles = await two_tenants.acme.ask("GET", "/tenant/roles")
    member = next(role["id"] for role in roles if role["name"] == "member")
    invited = {"email": "guest@example.com", "role_id": member}
    await two_tenants.acme.ask("POST", "/tenant/invitations", 201, json=invited)
    await two_tenants.application.run_jobs()
    [outgoing] = outbound.taken
    for part in (outgoing.subject, outgoing.text, outgoing.html):
        assert "evil" in part
        assert not re.search(r"http://evil|evil[.。]example", part)


async def test_account_mail_when_the_provider_is_away_then_tried_again_with_the_same_id(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    outbound.once(ProviderUnavailable("gone", tried=False), ProviderUnavailable("gone", tried=False))
    await register(two_tenants)
    await make_due()
    assert outbound.recipients == ["new@example.com"] * 2
    ids = [each.message_id for each in outbound.handed]
    assert sorted(ids[:2]) == sorted(ids[2:])
    assert len(set(ids)) == 2


async def test_account_mail_when_refused_for_good_then_given_up_with_its_reason(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    outbound.always = lambda outgoing: Refused("no such user", permanent=True, kind="address", code="550")
    await register(two_tenants)
    with two_tenants.application.inner.bound():
        failed = await Job.filter(state="failed").values("error")
    assert {row["error"] for row in failed} == {"the provider refused it: 550: no such user"}


@pytest.mark.parametrize(
    ("locale", "words"),
    [("", "Hello Nina"), ("de-AT", "Guten Tag Nina"), ("fr_CA", "Bonjour Nina"), ("xx", "Hello Nina"), ("DE", "Guten")],
)
async def test_account_mail_when_the_person_has_a_language_then_in_it_and_marked_as_machine_made(
    application: TestApplication, outbound: Outbound, locale: str, words: str
) -> None:
    person = {"user_id": uuid4(), "email": "nina@example.com", "name": "Nina", "locale": locale}
    with application.inner.bound():
        async with unit_of_work() as work:
            work.announce(PasswordChanged.model_validate(person))
    await application.run_jobs()
    [outgoing] = outbound.taken
    assert words in outgoing.text
    assert dict(outgoing.headers)["Auto-Submitted"] == "auto-generated"
    assert dict(outgoing.headers)["X-Auto-Response-Suppress"] == "OOF, AutoReply"


async def test_account_when_its_address_keys_or_sign_ins_change_then_its_owner_hears_of_it(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    owner = {"user_id": two_tenants.acme.user_id, "email": "owner@acme.example", "name": "Olga"}
    with two_tenants.application.inner.bound():
        async with unit_of_work() as work:
            work.announce(EmailChanged.model_validate(owner | {"new_email": "new@acme.example"}))
            work.announce(SignInLinked.model_validate(owner | {"provider": "google"}))
            work.announce(SignInUnlinked.model_validate(owner | {"provider": "github"}))
    await two_tenants.acme.ask(
        "POST", "/tenant/api-keys", 201, json={"name": "CI", "permissions": ["mail.messages.read"]}
    )
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["owner@acme.example"] * 4
    for words in (("new@acme.example",), ("google",), ("github",), ("CI", "Acme")):
        assert any(all(word in each.text for word in words) for each in outbound.taken)
