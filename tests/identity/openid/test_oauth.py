"""Signing in with a real OpenID provider: state, nonce, PKCE, and whose account it becomes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from host.errors import BadRequest, Conflict, NotFound, PermissionDenied, Unauthenticated, ValidationFailed
from host.identity import oauth, sessions
from host.identity.events import EmailVerificationRequested, UserRegistered
from host.identity.models import OAuthAccount, OAuthState
from tenants.models import User


async def sign_in(browser: Any, login: str, **changes: Any) -> oauth.Finished:
    begun = await oauth.begin("local", "/welcome")
    came_back = await asyncio.to_thread(browser, begun.url, login)
    return await finish(begun, came_back, **changes)


async def finish(begun: oauth.Begun, came_back: dict[str, str], **changes: Any) -> oauth.Finished:
    given = {"state": came_back["state"], "code": came_back["code"], "issuer": came_back.get("iss", "")}
    return await oauth.finish("local", **({"browser": begun.browser} | given | changes))


async def test_sign_in_when_new_then_an_account_with_a_proved_address_and_a_session(
    provided: Any, browser: Any
) -> None:
    finished = await sign_in(browser, "grace")

    user = await User.get(email="grace@example.com")
    assert finished.return_to == "/welcome"
    assert finished.signed_in.user.id == user.id
    assert (user.name, user.password_hash) == ("grace", None)
    assert user.email_verified_at is not None
    assert await sessions.session_alive(finished.signed_in.session_id)
    assert provided.sent(UserRegistered).provider == "local"
    assert await OAuthState.all().count() == 0


async def test_sign_in_when_known_then_the_same_account_although_the_address_changed(
    provided: Any, browser: Any
) -> None:
    first = await sign_in(browser, "grace")
    await User.filter(id=first.signed_in.user.id).update(email="hopper@example.com")
    second = await sign_in(browser, "grace")

    assert second.signed_in.user.id == first.signed_in.user.id
    assert await OAuthAccount.all().count() == 1


async def test_sign_in_when_the_address_is_proved_on_both_sides_then_linked(
    provided: Any, ada: User, browser: Any
) -> None:
    await User.filter(id=ada.id).update(email_verified_at=datetime.now(UTC))
    finished = await sign_in(browser, "ada")
    assert finished.signed_in.user.id == ada.id


async def test_sign_in_when_the_address_is_not_proved_on_a_side_then_not_linked(
    provided: Any, ada: User, browser: Any
) -> None:
    with pytest.raises(Conflict):
        await sign_in(browser, "ada")
    await User.filter(id=ada.id).update(email="ada+unproved@example.com", email_verified_at=datetime.now(UTC))
    with pytest.raises(Conflict):
        await sign_in(browser, "ada+unproved")
    assert await OAuthAccount.all().count() == 0


async def test_sign_in_when_the_provider_does_not_vouch_for_the_address_then_it_has_to_be_proved(
    provided: Any, browser: Any
) -> None:
    await sign_in(browser, "bob+unproved")
    assert (await User.get(email="bob+unproved@example.com")).email_verified_at is None
    assert provided.sent(EmailVerificationRequested).email == "bob+unproved@example.com"
    with pytest.raises(Conflict):
        await sign_in(browser, "nobody")


async def test_callback_when_another_browser_state_or_provider_then_refused(provided: Any, browser: Any) -> None:
    begun = await oauth.begin("local")
    came_back = await asyncio.to_thread(browser, begun.url, "grace")
    for wrong in ({"browser": "another"}, {"browser": ""}, {"state": "another"}, {"state": ""}):
        with pytest.raises(BadRequest):
            await finish(begun, came_back, **wrong)
    with pytest.raises(BadRequest):
        await oauth.finish("other", state=came_back["state"], code=came_back["code"], browser=begun.browser)
    assert await User.all().count() == 0
    assert (await finish(begun, came_back)).signed_in.user.email == "grace@example.com"


async def test_callback_when_repeated_late_or_cancelled_then_refused(provided: Any, browser: Any) -> None:
    begun = await oauth.begin("local")
    came_back = await asyncio.to_thread(browser, begun.url, "grace")
    await finish(begun, came_back)
    with pytest.raises(BadRequest):
        await finish(begun, came_back)
    late = await oauth.begin("local")
    came_late = await asyncio.to_thread(browser, late.url, "grace")
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=11), tick=True), pytest.raises(BadRequest):
        await finish(late, came_late)
    cancelled = await oauth.begin("local")
    came_cancelled = await asyncio.to_thread(browser, cancelled.url, "grace")
    with pytest.raises(BadRequest, match="access_denied"):
        await finish(cancelled, came_cancelled, error="access_denied", code="")


async def test_callback_when_the_verifier_the_nonce_or_the_issuer_is_another_then_refused(
    provided: Any, browser: Any
) -> None:
    for column in ("code_verifier", "nonce"):
        begun = await oauth.begin("local")
        came_back = await asyncio.to_thread(browser, begun.url, "grace")
        await OAuthState.all().update(**{column: "x" * 43})
        with pytest.raises(BadRequest):
            await finish(begun, came_back)
    with pytest.raises(BadRequest):
        await sign_in(browser, "grace", issuer="https://elsewhere.example")
    assert await User.all().count() == 0


async def test_sign_in_when_disabled_or_registration_is_off_then_refused(provided: Any, browser: Any) -> None:
    with provided.with_identity(registration=False), pytest.raises(PermissionDenied):
        await sign_in(browser, "grace")
    finished = await sign_in(browser, "grace")
    await User.filter(id=finished.signed_in.user.id).update(disabled_at=datetime.now(UTC))
    with pytest.raises(Unauthenticated):
        await sign_in(browser, "grace")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "welcome"])
async def test_start_when_the_way_back_leads_elsewhere_then_refused(application: Any, target: str) -> None:
    with pytest.raises(ValidationFailed):
        await oauth.begin("local", target)


async def test_start_when_there_is_no_such_provider_then_not_found(application: Any) -> None:
    with pytest.raises(NotFound):
        await oauth.begin("local")


async def test_sign_in_when_the_provider_never_says_that_an_address_is_proved_then_the_deployment_may_trust_it(
    provided: Any, ada: User, browser: Any
) -> None:
    await User.filter(id=ada.id).update(email="ada+silent@example.com", email_verified_at=datetime.now(UTC))
    with pytest.raises(Conflict, match="trust_email"):
        await sign_in(browser, "ada+silent")
    trusted = provided.settings.oauth["local"].model_copy(update={"trust_email": True})
    provided.settings = provided.settings.model_copy(update={"oauth": {"local": trusted}})
    with provided.bound():
        assert (await sign_in(browser, "ada+silent")).signed_in.user.id == ada.id
        with pytest.raises(Conflict):
            await User.filter(id=ada.id).update(email="ada+unproved@example.com")
            await sign_in(browser, "ada+unproved")
