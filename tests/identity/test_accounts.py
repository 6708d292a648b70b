"""Accounts: registering, signing in, profile, the operator."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from host.errors import BadRequest, Conflict, PermissionDenied, PreconditionFailed, Unauthenticated, ValidationFailed
from host.identity import accounts, passwords, recovery, sessions
from host.identity.events import (
    EmailVerificationRequested,
    PasswordResetRequested,
    RegistrationRepeated,
    UserRegistered,
)
from host.identity.models import OAuthAccount
from host.settings.sections import OperatorSettings
from tenants.models import Tenant, User

PASSWORD = "a long enough passphrase"


async def register(tenant_for: Any, **changes: Any) -> sessions.SignedIn | None:
    given = {"email": "Bob@Example.com", "password": PASSWORD, "name": "Bob", "tenant_name": "Globex"}
    return await accounts.register(**(given | changes), make_tenant=tenant_for)


async def test_registration_when_new_then_signed_in_as_owner_and_announced(application: Any, tenant_for: Any) -> None:
    signed_in = await register(tenant_for)

    assert signed_in is not None
    user = await User.get(id=signed_in.user.id)
    assert (user.email, user.email_verified_at) == ("bob@example.com", None)
    assert PASSWORD not in str(user.password_hash)
    assert signed_in.tenant_id == (await Tenant.get(slug="globex")).id
    assert await sessions.session_alive(signed_in.session_id)
    assert application.sent(UserRegistered).user_id == user.id
    assert application.sent(EmailVerificationRequested).email == "bob@example.com"
    assert application.names() == ["auth.user.create", "auth.session.create"]


async def test_registration_when_the_tenant_fails_then_nothing_stays(application: Any) -> None:
    async def fails(name: str, owner: User) -> Tenant:
        raise ValidationFailed(details={"slug": "reserved"})

    with pytest.raises(ValidationFailed):
        await register(fails, tenant_name="Admin")
    assert await User.all().count() == 0
    assert application.events == []
    assert application.actions == []


async def test_registration_when_the_address_is_taken_then_conflict(
    application: Any, ada: User, tenant_for: Any
) -> None:
    with pytest.raises(Conflict):
        await register(tenant_for, email="ADA@example.com")
    assert await Tenant.all().count() == 0


async def test_registration_when_twice_at_once_then_one_account(application: Any, tenant_for: Any) -> None:
    answers = await asyncio.gather(*(register(tenant_for, tenant_name=None) for _ in range(3)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in answers) == ["Conflict", "Conflict", "SignedIn"]


async def test_registration_when_verification_is_required_then_the_answer_tells_nothing(
    application: Any, ada: User, tenant_for: Any
) -> None:
    with application.with_identity(require_verified_email=True):
        assert await register(tenant_for, email="new@example.com") is None
        assert await register(tenant_for, email="ada@example.com") is None
        assert application.sent(RegistrationRepeated).email == "ada@example.com"
        with pytest.raises(PermissionDenied):
            await accounts.sign_in(email="new@example.com", password=PASSWORD)
        await recovery.verify_email(application.token(EmailVerificationRequested))
        signed_in = await accounts.sign_in(email="new@example.com", password=PASSWORD)
    assert signed_in.tenant_id == (await Tenant.get(slug="globex")).id


async def test_registration_when_switched_off_or_weak_then_refused(application: Any, tenant_for: Any) -> None:
    with application.with_identity(registration=False), pytest.raises(PermissionDenied):
        await register(tenant_for)
    for bad in ({"password": "password"}, {"password": "bob@example.com"}, {"email": "bob"}):
        with pytest.raises(ValidationFailed):
            await register(tenant_for, **bad)
    assert await User.all().count() == 0


async def test_sign_in_when_right_then_a_session(application: Any, ada: User) -> None:
    signed_in = await accounts.sign_in(email=" ADA@Example.com", password=PASSWORD)
    assert signed_in.user.id == ada.id


async def test_sign_in_when_wrong_or_unknown_then_the_same_words_and_recorded(application: Any, ada: User) -> None:
    refusals = []
    for email, password in (("ada@example.com", "wrong password"), ("nobody@example.com", PASSWORD)):
        with pytest.raises(Unauthenticated) as refused:
            await accounts.sign_in(email=email, password=password)
        refusals.append((refused.value.message, refused.value.details))
    assert refusals[0] == refusals[1]
    failed = [each for each in application.actions if each.outcome == "failed"]
    assert [(each.name, each.resource_id, each.reason) for each in failed] == [
        ("auth.session.create", str(ada.id), "wrong password"),
        ("auth.session.create", "", "unknown address"),
    ]


async def test_sign_in_when_disabled_or_without_a_password_then_refused(application: Any, ada: User) -> None:
    await User.create(email="only@example.com", name="Only elsewhere")
    with pytest.raises(Unauthenticated):
        await accounts.sign_in(email="only@example.com", password="")
    await User.filter(id=ada.id).update(disabled_at=datetime.now(UTC))
    with pytest.raises(Unauthenticated, match="disabled"):
        await accounts.sign_in(email="ada@example.com", password=PASSWORD)


async def test_sign_in_when_the_hash_is_old_then_made_anew(application: Any, ada: User) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD)
    await User.filter(id=ada.id).update(password_hash=weak)

    await accounts.sign_in(email="ada@example.com", password=PASSWORD)

    stored = (await User.get(id=ada.id)).password_hash
    assert stored != weak
    assert not passwords.is_outdated(str(stored))


async def test_profile_when_the_name_changes_then_version_rises_and_a_stale_one_is_refused(
    application: Any, ada: User
) -> None:
    changed = await accounts.update_profile(ada.id, name="Ada L.", version=1)

    assert (changed.name, changed.version) == ("Ada L.", 2)
    assert ada.id in application.touched
    with pytest.raises(PreconditionFailed):
        await accounts.update_profile(ada.id, name="Other", version=1)
    assert (await User.get(id=ada.id)).name == "Ada L."


async def test_address_when_changed_then_needs_the_password_and_counts_once_proved(application: Any, ada: User) -> None:
    for wrong in (None, "wrong password"):
        with pytest.raises(ValidationFailed) as refused:
            await accounts.update_profile(ada.id, email="new@example.com", current_password=wrong)
        assert list(refused.value.details) == ["current_password"]
    same = await accounts.update_profile(ada.id, email="New@example.com", current_password=PASSWORD)

    assert same.email == "ada@example.com"
    assert application.sent(EmailVerificationRequested).email == "new@example.com"
    await recovery.verify_email(application.token(EmailVerificationRequested))
    user = await User.get(id=ada.id)
    assert user.email == "new@example.com"
    assert user.email_verified_at is not None


async def test_settings_when_replaced_then_kept_whole(application: Any, ada: User) -> None:
    await accounts.replace_settings(ada.id, {"theme": "dark", "nested": {"a": [1, None]}})
    await accounts.replace_settings(ada.id, {"theme": "light"})
    assert (await User.get(id=ada.id)).settings == {"theme": "light"}


async def test_operator_when_ensured_twice_then_one_account_whose_password_stays(application: Any) -> None:
    made = await accounts.ensure_operator("ops@example.com", "operators passphrase")
    again = await accounts.ensure_operator("ops@example.com", "another passphrase 2")

    assert again.id == made.id
    assert (await User.get(id=made.id)).is_operator
    assert (await accounts.sign_in(email="ops@example.com", password="operators passphrase")).user.is_operator


async def test_operator_when_somebody_registered_the_address_before_then_only_the_configured_credentials_count(
    application: Any, ada: User
) -> None:
    squatting = await accounts.sign_in(email="ada@example.com", password=PASSWORD)
    await accounts.update_profile(ada.id, email="squatter@example.com", current_password=PASSWORD)
    change = application.token(EmailVerificationRequested)
    await recovery.send_reset("ada@example.com")
    reset = application.token(PasswordResetRequested)
    await OAuthAccount.create(user_id=ada.id, provider="x", subject="7", email="ada@example.com", email_verified=True)

    raised = await accounts.ensure_operator("ada@example.com", "operators passphrase")

    assert (raised.id, raised.is_operator) == (ada.id, True)
    assert (await accounts.sign_in(email="ada@example.com", password="operators passphrase")).user.is_operator
    with pytest.raises(Unauthenticated):
        await accounts.sign_in(email="ada@example.com", password=PASSWORD)
    assert not await sessions.session_alive(squatting.session_id)
    for attack in (
        recovery.verify_email(change),
        recovery.reset_password(reset, "the squatters passphrase"),
        sessions.rotate(squatting.refresh_token),
    ):
        with pytest.raises((BadRequest, Unauthenticated)):
            await attack
    assert not await OAuthAccount.exists()


async def test_operator_when_their_address_is_not_in_use_then_nobody_else_may_register_or_take_it(
    application: Any, ada: User, tenant_for: Any
) -> None:
    named = OperatorSettings(email="Ops@example.com", password=SecretStr("operators passphrase"))
    application.settings = application.settings.model_copy(update={"operator": named})
    with application.bound():
        with pytest.raises(Conflict):
            await register(tenant_for, email="ops@EXAMPLE.com")
        with application.with_identity(require_verified_email=True):
            assert await register(tenant_for, email="ops@example.com") is None
        await accounts.update_profile(ada.id, email="ops@example.com", current_password=PASSWORD)
        with pytest.raises(Conflict):
            await recovery.verify_email(application.token(EmailVerificationRequested))
    assert [each.email for each in await User.all()] == ["ada@example.com"]


async def test_registration_when_verification_is_required_then_equal_refusals_and_equal_time(
    application: Any, ada: User, tenant_for: Any
) -> None:
    async def refusing(name: str, owner: User) -> Tenant:
        raise ValidationFailed(details={"tenant_name": "reserved"})

    async def slow(name: str, owner: User) -> Tenant:
        await asyncio.sleep(0.4)
        return Tenant(id=owner.id)

    times = []
    with application.with_identity(require_verified_email=True):
        for email in ("new@example.com", "ada@example.com"):
            with pytest.raises(ValidationFailed):
                await register(refusing, email=email)
        for email in ("new@example.com", "ada@example.com"):
            began = time.perf_counter()
            assert await register(slow, email=email) is None
            times.append(time.perf_counter() - began)
    assert min(times) > 0.4
    assert sorted([each.email for each in await User.all()]) == ["ada@example.com", "new@example.com"]
    assert not [each for each in application.events if "rehearsal" in getattr(each, "email", "")]


async def test_sign_in_when_right_then_its_record_says_who(application: Any, ada: User) -> None:
    signed_in = await accounts.sign_in(email="ada@example.com", password=PASSWORD)
    actor = application.actions[-1].origin.actor
    assert (actor.kind, actor.user_id, actor.label, actor.session_id) == (
        "user",
        ada.id,
        "ada@example.com",
        signed_in.session_id,
    )
