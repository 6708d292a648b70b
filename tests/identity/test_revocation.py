"""Accounts held by somebody before their owner came: nothing of theirs opens it afterwards.

The ways are those of "Pre-hijacked accounts" (Sudhodanan and Paverd, https://arxiv.org/abs/2205.10174).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from host.errors import BadRequest, Conflict, Unauthenticated
from host.identity import accounts, api_keys, cleanup, oauth, recovery, sessions
from host.identity.events import (
    EmailChanged,
    EmailVerificationRequested,
    PasswordResetRequested,
    SessionEnded,
    SignInLinked,
    SignInUnlinked,
)
from host.identity.models import OAuthAccount, Session
from host.identity.providers import Person
from host.identity.sessions import SignedIn
from host.services import unit_of_work
from tenants.context import bind
from tenants.models import User

PASSWORD, NEW = "a long enough passphrase", "another good passphrase"
CHOSEN: Any = SimpleNamespace(name="elsewhere")

Ends = Callable[[Any, User, str], Awaitable[None]]


async def prove(application: Any, ada: User, proof: str) -> None:
    await recovery.verify_email(proof)


async def reset(application: Any, ada: User, proof: str) -> None:
    await recovery.send_reset("ada@example.com")
    await recovery.reset_password(application.token(PasswordResetRequested), NEW)


async def change(application: Any, ada: User, proof: str) -> None:
    mine = await sessions.start(ada, method="password", tenant_id=None)
    await recovery.change_password(ada.id, mine.session_id, current=PASSWORD, new=NEW)


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No quota: it is tested under limits."""

    async def nothing(limit: str, amount: int = 1) -> None:
        return None

    monkeypatch.setattr(api_keys, "spend", nothing)


@pytest.fixture
async def squatted(application: Any, ada: User, tenant_for: Any, uncounted: None) -> SimpleNamespace:
    """Everything an anonymous caller can leave behind in an account that they opened with somebody else's address."""
    tenant = await tenant_for("Squat", ada)
    session = await accounts.sign_in(email="ada@example.com", password=PASSWORD)
    await recovery.send_verification("ada@example.com")
    proof = application.token(EmailVerificationRequested)
    await accounts.update_profile(ada.id, email="squatter@example.com", current_password=PASSWORD)
    pending = application.token(EmailVerificationRequested)
    await recovery.send_reset("ada@example.com")
    await OAuthAccount.create(user_id=ada.id, provider="elsewhere", subject="squatter", email="ada@example.com")
    with bind(tenant.id):
        _, key = await api_keys.make_key(name="mine", permissions=("x.y.z",), expires_at=None, made_by=ada.id)
    old_reset = application.token(PasswordResetRequested)
    return SimpleNamespace(session=session, proof=proof, pending=pending, reset=old_reset, key=key, tenant=tenant)


async def key_opens(text: str) -> bool:
    parsed = api_keys.parse_key(text)
    assert parsed is not None
    with bind(parsed.tenant_id):
        return await api_keys.api_key(parsed.key_id, parsed.secret) is not None


async def sign_in_elsewhere(subject: str, email: str, *, verified: bool) -> User:
    return await oauth._account(CHOSEN, Person(subject, email, verified, "Somebody"))


@pytest.mark.parametrize("ends", [prove, reset, change])
async def test_account_when_its_owner_proves_resets_or_changes_then_nothing_left_behind_opens_it(
    application: Any, ada: User, squatted: SimpleNamespace, ends: Ends
) -> None:
    assert await key_opens(squatted.key)
    application.touched.clear()

    await ends(application, ada, squatted.proof)

    assert not await sessions.session_alive(squatted.session.session_id)
    assert not await key_opens(squatted.key)
    assert {ada.id, squatted.tenant.id} <= application.touched
    for attack in (
        sessions.rotate(squatted.session.refresh_token),
        recovery.verify_email(squatted.pending),
        recovery.reset_password(squatted.reset, "a passphrase of the squatter"),
    ):
        with pytest.raises((BadRequest, Unauthenticated)):
            await attack
    with pytest.raises(Conflict):
        await sign_in_elsewhere("squatter", "ada@example.com", verified=False)
    user = await User.get(id=ada.id)
    assert user.email == "ada@example.com"
    assert application.sent(SignInUnlinked).provider == "elsewhere"
    ended = [each.session_id for each in application.events if isinstance(each, SessionEnded)]
    assert ended.count(squatted.session.session_id) == 1


async def test_proof_when_it_comes_from_the_browser_that_registered_then_only_what_is_elsewhere_ends(
    application: Any, ada: User, squatted: SimpleNamespace
) -> None:
    mine = await accounts.sign_in(email="ada@example.com", password=PASSWORD)

    await recovery.verify_email(squatted.proof, mine.session_id)

    assert await sessions.session_alive(mine.session_id)
    assert not await sessions.session_alive(squatted.session.session_id)
    assert await key_opens(squatted.key)
    assert (await sign_in_elsewhere("squatter", "ada@example.com", verified=False)).id == ada.id
    with pytest.raises(BadRequest):
        await recovery.verify_email(squatted.pending)


async def test_proof_when_it_comes_with_somebody_elses_session_then_that_counts_for_nothing(
    application: Any, ada: User, squatted: SimpleNamespace
) -> None:
    bob = await User.create(email="bob@example.com", name="Bob")
    theirs = await sessions.start(bob, method="password", tenant_id=None)
    await recovery.verify_email(squatted.proof, theirs.session_id)
    assert not await key_opens(squatted.key)
    assert await sessions.session_alive(theirs.session_id)


async def test_password_when_changed_by_somebody_who_keeps_their_keys_then_they_go_on(
    application: Any, ada: User, squatted: SimpleNamespace
) -> None:
    mine = await accounts.sign_in(email="ada@example.com", password=PASSWORD)
    await recovery.change_password(ada.id, mine.session_id, current=PASSWORD, new=NEW, keep_keys=True)
    assert await key_opens(squatted.key)
    assert not await sessions.session_alive(squatted.session.session_id)


async def test_merge_when_a_provider_vouches_for_an_address_that_somebody_else_registered_then_not_linked(
    application: Any, ada: User
) -> None:
    with pytest.raises(Conflict):
        await sign_in_elsewhere("owner", "ada@example.com", verified=True)
    await reset(application, ada, "")
    assert (await sign_in_elsewhere("owner", "ada@example.com", verified=True)).id == ada.id
    assert application.sent(SignInLinked).provider == "elsewhere"


async def test_provider_when_it_does_not_verify_then_who_registered_through_it_is_out_after_the_reset(
    application: Any,
) -> None:
    squatter = await sign_in_elsewhere("squatter", "ada@example.com", verified=False)
    await reset(application, squatter, "")
    with pytest.raises(Conflict):
        await sign_in_elsewhere("squatter", "ada@example.com", verified=False)
    assert (await accounts.sign_in(email="ada@example.com", password=NEW)).user.id == squatter.id
    assert (await sign_in_elsewhere("owner", "ada@example.com", verified=True)).id == squatter.id


async def test_trojan_when_an_account_takes_over_an_address_then_its_sign_ins_with_the_old_one_end(
    application: Any,
) -> None:
    trojan = await sign_in_elsewhere("squatter", "squatter@example.com", verified=True)
    async with unit_of_work() as work:
        await recovery.ask_for_verification(work, trojan, "ada@example.com")
    await recovery.verify_email(application.token(EmailVerificationRequested))

    changed = application.sent(EmailChanged)
    assert (changed.email, changed.new_email) == ("squatter@example.com", "ada@example.com")
    other = await sign_in_elsewhere("squatter", "squatter@example.com", verified=True)
    assert other.id != trojan.id


async def test_link_when_it_is_older_than_the_proof_and_was_never_vouched_for_then_it_opens_nothing(
    application: Any, ada: User
) -> None:
    await OAuthAccount.create(user_id=ada.id, provider="elsewhere", subject="squatter", email="ada@example.com")
    await User.filter(id=ada.id).update(email_verified_at=datetime.now(UTC))
    with pytest.raises(Conflict):
        await sign_in_elsewhere("squatter", "squatter@example.com", verified=True)
    assert (await sign_in_elsewhere("squatter", "ada@example.com", verified=True)).id == ada.id


async def test_session_when_it_ends_in_any_way_then_announced_once(application: Any, ada: User) -> None:
    async def begin() -> SignedIn:
        return await sessions.start(ada, method="password", tenant_id=None)

    ways = {
        "signed out": sessions.end_if_open,
        "ended from another session": sessions.end,
    }
    expected: list[tuple[UUID, str]] = []
    for reason, way in ways.items():
        session = await begin()
        await way(session.session_id, user_id=ada.id, reason=reason)
        expected.append((session.session_id, reason))
    late = await begin()
    await Session.filter(id=late.session_id).update(expires_at=datetime.now(UTC))
    await cleanup.forget_expired()
    await cleanup.forget_expired()
    expected.append((late.session_id, "expired"))

    heard = [(each.session_id, each.reason) for each in application.events if isinstance(each, SessionEnded)]
    assert heard == expected
