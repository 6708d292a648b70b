"""The house's own mail: what people get when the house announces something, and what it never writes down."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest

from host.identity.events import EmailChanged, PasswordChanged, RegistrationRepeated, SignInLinked, SignInUnlinked
from host.jobs.models import Job
from host.sdk import unit_of_work
from host.testing import Neighbours, TestHouse
from plugins.mail.models import Message
from plugins.mail.providers.contract import Away, Refused
from tests.plugins.mail.conftest import MakeDue, Outbound, Within
from tests.plugins.mail.test_messages import used

PERSON = {"email": "new@example.com", "password": "correct horse battery", "name": "Nina"}


async def register(neighbours: Neighbours) -> None:
    await neighbours.stranger.ask("POST", "/auth/register", 201, json=PERSON)
    await neighbours.house.run_jobs()


def about(outbound: Outbound, word: str) -> Any:
    return next(each for each in outbound.taken if word in each.text)


async def test_registration_when_done_then_welcome_and_a_link_that_proves_the_address(
    neighbours: Neighbours, outbound: Outbound
) -> None:
    await register(neighbours)
    assert outbound.recipients == ["new@example.com"] * 2
    link = about(outbound, "verify-email")
    assert "Nina" in link.text
    assert "verify-email?token=" in link.html
    assert link.sender.email == "no-reply@tenantry.local"


async def test_password_when_forgotten_then_changed_then_told_of_both(
    neighbours: Neighbours, outbound: Outbound
) -> None:
    await register(neighbours)
    outbound.taken.clear()
    await neighbours.stranger.ask("POST", "/auth/password/forgot", 202, json={"email": "new@example.com"})
    await neighbours.house.run_jobs()
    [reset] = outbound.taken
    token = reset.text.partition("token=")[2].split()[0].strip(").>")
    body = {"token": token, "password": "another good passphrase"}
    await neighbours.stranger.ask("POST", "/auth/password/reset", 200, json=body)
    await neighbours.house.run_jobs()
    assert outbound.recipients == ["new@example.com"] * 2


async def test_registration_when_repeated_then_only_the_owner_is_told(
    neighbours: Neighbours, outbound: Outbound
) -> None:
    owner = {"user_id": neighbours.acme.user_id, "email": "owner@acme.example", "name": "Olga"}
    with neighbours.house.inner.bound():
        async with unit_of_work() as work:
            work.announce(RegistrationRepeated.model_validate(owner))
    await neighbours.house.run_jobs()
    [outgoing] = outbound.taken
    assert outgoing.recipients == ("owner@acme.example",)
    assert "Olga" in outgoing.text


async def test_invitation_when_made_then_sent_for_the_organisation_and_free(
    neighbours: Neighbours, outbound: Outbound, within: Within
) -> None:
    roles = await neighbours.acme.ask("GET", "/tenant/roles")
    member = next(role["id"] for role in roles if role["name"] == "member")
    await neighbours.acme.ask(
        "POST", "/tenant/invitations", 201, json={"email": "guest@example.com", "role_id": member}
    )
    await neighbours.house.run_jobs()
    [outgoing] = outbound.taken
    assert outgoing.recipients == ("guest@example.com",)
    assert "Acme" in outgoing.text
    assert "accept-invitation?token=" in outgoing.text
    assert await used(neighbours.acme) == 0
    with within(neighbours.acme):
        assert await Message.all().count() == 0  # the link is a secret


@pytest.mark.parametrize("name", ["Join http://evil.example now", "www.evil.example/x", "evil。example"])
async def test_invitation_when_the_organisation_is_called_like_a_link_then_none_is_made_of_it(
    neighbours: Neighbours, outbound: Outbound, name: str
) -> None:
    await neighbours.acme.ask("PATCH", "/tenant", json={"name": name})
    roles = await neighbours.acme.ask("GET", "/tenant/roles")
    member = next(role["id"] for role in roles if role["name"] == "member")
    invited = {"email": "guest@example.com", "role_id": member}
    await neighbours.acme.ask("POST", "/tenant/invitations", 201, json=invited)
    await neighbours.house.run_jobs()
    [outgoing] = outbound.taken
    for part in (outgoing.subject, outgoing.text, outgoing.html):
        assert "evil" in part
        assert not re.search(r"http://evil|evil[.。]example", part)


async def test_mail_of_the_house_when_the_provider_is_away_then_tried_again_with_the_same_id(
    neighbours: Neighbours, outbound: Outbound, make_due: MakeDue
) -> None:
    outbound.once(Away("gone", tried=False), Away("gone", tried=False))
    await register(neighbours)
    await make_due()
    assert outbound.recipients == ["new@example.com"] * 2
    ids = [each.message_id for each in outbound.handed]
    assert sorted(ids[:2]) == sorted(ids[2:])
    assert len(set(ids)) == 2


async def test_mail_of_the_house_when_refused_for_good_then_given_up_with_its_reason(
    neighbours: Neighbours, outbound: Outbound
) -> None:
    outbound.always = lambda outgoing: Refused("no such user", permanent=True, kind="address", code="550")
    await register(neighbours)
    with neighbours.house.inner.bound():
        failed = await Job.filter(state="failed").values("error")
    assert {row["error"] for row in failed} == {"the provider refused it: 550: no such user"}


@pytest.mark.parametrize(
    ("locale", "words"),
    [("", "Hello Nina"), ("de-AT", "Guten Tag Nina"), ("fr_CA", "Bonjour Nina"), ("xx", "Hello Nina"), ("DE", "Guten")],
)
async def test_account_mail_when_the_person_has_a_language_then_in_it_and_marked_as_machine_made(
    house: TestHouse, outbound: Outbound, locale: str, words: str
) -> None:
    person = {"user_id": uuid4(), "email": "nina@example.com", "name": "Nina", "locale": locale}
    with house.inner.bound():
        async with unit_of_work() as work:
            work.announce(PasswordChanged.model_validate(person))
    await house.run_jobs()
    [outgoing] = outbound.taken
    assert words in outgoing.text
    assert dict(outgoing.headers)["Auto-Submitted"] == "auto-generated"
    assert dict(outgoing.headers)["X-Auto-Response-Suppress"] == "OOF, AutoReply"


async def test_account_when_its_address_keys_or_sign_ins_change_then_its_owner_hears_of_it(
    neighbours: Neighbours, outbound: Outbound
) -> None:
    owner = {"user_id": neighbours.acme.user_id, "email": "owner@acme.example", "name": "Olga"}
    with neighbours.house.inner.bound():
        async with unit_of_work() as work:
            work.announce(EmailChanged.model_validate(owner | {"new_email": "new@acme.example"}))
            work.announce(SignInLinked.model_validate(owner | {"provider": "google"}))
            work.announce(SignInUnlinked.model_validate(owner | {"provider": "github"}))
    await neighbours.acme.ask(
        "POST", "/tenant/api-keys", 201, json={"name": "CI", "permissions": ["mail.messages.read"]}
    )
    await neighbours.house.run_jobs()
    assert outbound.recipients == ["owner@acme.example"] * 4
    for words in (("new@acme.example",), ("google",), ("github",), ("CI", "Acme")):
        assert any(all(word in each.text for word in words) for each in outbound.taken)
