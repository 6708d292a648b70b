"""Recovery: links that are good once, and what a new password ends."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from host.errors import BadRequest, Conflict, RateLimited, Unauthenticated, ValidationFailed
from host.identity import accounts, recovery, sessions
from host.identity.devices import device_token
from host.identity.events import EmailVerificationRequested, PasswordChanged, PasswordResetRequested
from host.identity.login_throttle import SECONDS
from host.identity.models import OneTimeToken
from host.services import unit_of_work
from host.settings import RatesSettings
from tenants.models import User

PASSWORD, NEW = "a long enough passphrase", "another good passphrase"


async def ask_for_reset(application: Any) -> str:
    await recovery.send_reset("ada@example.com")
    return str(application.token(PasswordResetRequested))


async def test_reset_when_the_link_is_used_then_new_password_and_every_session_over(
    application: Any, ada: User
) -> None:
    before = await accounts.sign_in(email="ada@example.com", password=PASSWORD)
    token = await ask_for_reset(application)
    application.touched.clear()

    await recovery.reset_password(token, NEW)

    user = await User.get(id=ada.id)
    assert user.token_version == 2
    assert user.email_verified_at is not None
    assert not await sessions.session_alive(before.session_id)
    assert ada.id in application.touched
    assert application.sent(PasswordChanged).email == "ada@example.com"
    with pytest.raises(Unauthenticated):
        await accounts.sign_in(email="ada@example.com", password=PASSWORD)
    after = await accounts.sign_in(email="ada@example.com", password=NEW)
    assert sessions.access_tokens().read(after.access_token).token_version == 2


async def test_reset_when_the_link_was_used_is_late_or_replaced_then_refused(application: Any, ada: User) -> None:
    first, second = await ask_for_reset(application), await ask_for_reset(application)
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=31), tick=True), pytest.raises(BadRequest):
        await recovery.reset_password(second, NEW)
    await recovery.reset_password(second, NEW)
    for token in (first, second, "nonsense", application.token(PasswordResetRequested)):
        with pytest.raises(BadRequest):
            await recovery.reset_password(token, "yet another passphrase")
    await accounts.sign_in(email="ada@example.com", password=NEW)


async def test_reset_when_the_password_is_weak_then_the_link_stays_good(application: Any, ada: User) -> None:
    token = await ask_for_reset(application)
    with pytest.raises(ValidationFailed):
        await recovery.reset_password(token, "ada@example.com")
    await recovery.reset_password(token, NEW)


async def test_reset_when_used_twice_at_once_then_one_wins(application: Any, ada: User) -> None:
    token = await ask_for_reset(application)
    answers = await asyncio.gather(
        *(recovery.reset_password(token, f"passphrase number {n}") for n in range(3)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in answers) == ["BadRequest", "BadRequest", "NoneType"]


async def test_reset_when_the_address_changed_since_then_refused(application: Any, ada: User) -> None:
    token = await ask_for_reset(application)
    await User.filter(id=ada.id).update(email="new@example.com")
    with pytest.raises(BadRequest):
        await recovery.reset_password(token, NEW)


async def test_link_when_asked_for_by_anybody_then_equal_time_and_one_message(application: Any, ada: User) -> None:
    times = []
    for email in ("ada@example.com", "nobody@example.com"):
        began = time.perf_counter()
        await recovery.send_reset(email)
        times.append(time.perf_counter() - began)
    assert abs(times[0] - times[1]) < 0.1
    assert min(times) > SECONDS - 0.01
    assert len(application.events) == 1


async def test_link_when_kept_then_only_its_hash(application: Any, ada: User) -> None:
    token = await ask_for_reset(application)
    [kept] = await OneTimeToken.all().values()
    assert token not in str(kept)
    assert application.sent(PasswordResetRequested).link.startswith("http://127.0.0.1:8000/reset-password?token=")


async def test_link_when_in_production_then_not_in_the_log(
    application: Any, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    token = await ask_for_reset(application)
    assert token in caplog.text
    caplog.clear()
    home = application.settings.app.model_copy(update={"environment": "production"})
    application.settings = application.settings.model_copy(update={"app": home})
    with application.bound():
        token = await ask_for_reset(application)
    assert token not in caplog.text


async def test_verification_when_sent_again_then_only_to_whom_it_concerns(application: Any, ada: User) -> None:
    await recovery.send_verification("nobody@example.com")
    await recovery.send_verification("ada@example.com")
    token = application.token(EmailVerificationRequested)
    assert await recovery.verify_email(token) == "ada@example.com"
    await recovery.send_verification("ada@example.com")

    assert len([each for each in application.events if isinstance(each, EmailVerificationRequested)]) == 1
    with pytest.raises(BadRequest):
        await recovery.verify_email(token)


async def test_verification_when_a_reset_link_is_used_for_it_then_refused(application: Any, ada: User) -> None:
    token = await ask_for_reset(application)
    with pytest.raises(BadRequest):
        await recovery.verify_email(token)


async def test_verification_when_the_new_address_was_taken_meanwhile_then_conflict_and_nothing_changes(
    application: Any, ada: User
) -> None:
    async with unit_of_work() as work:
        await recovery.ask_for_verification(work, ada, "new@example.com")
    await User.create(email="new@example.com", name="Faster")
    with pytest.raises(Conflict):
        await recovery.verify_email(application.token(EmailVerificationRequested))
    assert (await User.get(id=ada.id)).email == "ada@example.com"


async def test_verification_when_an_older_link_is_opened_later_then_the_newer_address_stays(
    application: Any, ada: User
) -> None:
    links = []
    for email in ("older@example.com", "newer@example.com"):
        async with unit_of_work() as work:
            await recovery.ask_for_verification(work, ada, email)
        links.append(application.token(EmailVerificationRequested))
    await recovery.verify_email(links[1])
    with pytest.raises(BadRequest):
        await recovery.verify_email(links[0])
    assert (await User.get(id=ada.id)).email == "newer@example.com"


async def test_change_when_the_password_is_right_then_other_sessions_end_and_this_one_goes_on(
    application: Any, ada: User
) -> None:
    other, mine = [await accounts.sign_in(email="ada@example.com", password=PASSWORD) for _ in range(2)]

    renewed = await recovery.change_password(ada.id, mine.session_id, current=PASSWORD, new=NEW)

    assert renewed.session_id == mine.session_id
    assert sessions.access_tokens().read(renewed.access_token).token_version == 2
    assert not await sessions.session_alive(other.session_id)
    assert (await sessions.rotate(mine.refresh_token)).session_id == mine.session_id
    await accounts.sign_in(email="ada@example.com", password=NEW)


async def test_change_when_the_password_is_wrong_or_the_new_one_bad_then_refused(application: Any, ada: User) -> None:
    mine = await accounts.sign_in(email="ada@example.com", password=PASSWORD)
    for current, new, field in (
        ("wrong", NEW, "current_password"),
        (PASSWORD, "short", "new_password"),
        (PASSWORD, PASSWORD, "new_password"),
    ):
        with pytest.raises(ValidationFailed) as refused:
            await recovery.change_password(ada.id, mine.session_id, current=current, new=new)
        assert list(refused.value.details) == [field]
    assert (await User.get(id=ada.id)).token_version == 1
    assert application.names("failed") == ["auth.user.update"]


async def test_sign_in_when_locked_out_by_guesses_then_open_at_once_after_a_reset(
    application: Any, ada: User, client: Any
) -> None:
    application.settings = application.settings.model_copy(update={"rates": RatesSettings(sign_in="3/15 minutes")})
    with application.bound():
        for address in ("192.0.2.1", "198.51.100.7"):
            with client(address):
                for _ in range(3):
                    with pytest.raises(Unauthenticated):
                        await accounts.sign_in(email="ada@example.com", password="wrong passphrase")
                with pytest.raises(RateLimited):
                    await accounts.sign_in(email="ada@example.com", password=PASSWORD)
        await recovery.reset_password(await ask_for_reset(application), NEW)
        with client("198.51.100.7"):
            await accounts.sign_in(email="ada@example.com", password=NEW)


async def test_sign_in_when_right_many_times_then_never_refused(application: Any, ada: User) -> None:
    application.settings = application.settings.model_copy(update={"rates": RatesSettings(sign_in="2/15 minutes")})
    with application.bound():
        for _ in range(4):
            await accounts.sign_in(email="ada@example.com", password=PASSWORD)


async def test_device_when_signed_in_before_then_others_on_its_network_do_not_lock_it_out(
    application: Any, ada: User
) -> None:
    known = device_token(ada.id)
    application.settings = application.settings.model_copy(update={"rates": RatesSettings(sign_in="2/15 minutes")})
    with application.bound():
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                await accounts.sign_in(email="ada@example.com", password="wrong passphrase")
        for forged in ("", "x", device_token(uuid4()), known[:-2] + "AA"):
            with pytest.raises(RateLimited):
                await accounts.sign_in(email="ada@example.com", password=PASSWORD, device=forged)
        await accounts.sign_in(email="ada@example.com", password=PASSWORD, device=known)
