"""`/auth` over HTTP: cookies, statuses, and that a revoked token stops at the next request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from host.api.refresh_cookie import DEVICE, NAME
from host.contracts import Event
from host.identity.events import EmailVerificationRequested, PasswordResetRequested
from host.settings import Settings
from host.testing import Client, TestApplication

PASSWORD, NEW = "a long enough passphrase", "another good passphrase"
ADA = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}


def bearer(data: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {data['access_token']}"}


def token_of(heard: list[Event], kind: type[Event]) -> str:
    links = [each.model_dump()["link"] for each in heard if isinstance(each, kind)]
    return str(links[-1]).partition("token=")[2]


@pytest.fixture
async def second(application: TestApplication) -> AsyncIterator[Client]:
    """Another browser."""
    async with application.client() as client:
        yield client


async def test_registration_when_complete_then_signed_in_as_owner_with_a_strict_cookie(visitor: Client) -> None:
    answer = await visitor.post("/api/v1/auth/register", json={**ADA, "tenant_name": "Acme"})

    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/me"
    data = answer.json()["data"]
    assert sorted(data) == ["access_token", "expires_in", "tenant", "token_type", "user"]
    assert (data["user"]["email"], data["tenant"]["slug"]) == ("ada@example.com", "acme")
    cookie = answer.headers["set-cookie"]
    for part in (f"{NAME}=", "HttpOnly", "SameSite=Strict", "Path=/api/v1/auth", "Max-Age=2592000"):
        assert part in cookie
    assert PASSWORD not in answer.text
    assert "password_hash" not in answer.text
    me = await visitor.ask("GET", "/tenant", headers=bearer(data))
    assert me["slug"] == "acme"
    await visitor.ask("POST", "/auth/register", 409, json=ADA)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": "ada"}, "email"),
        ({"password": "password"}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"name": "  "}, "name"),
        ({"is_operator": True}, "is_operator"),
    ],
)
async def test_registration_when_a_field_is_wrong_then_422_names_it(
    visitor: Client, changes: dict[str, object], field: str
) -> None:
    refused = await visitor.ask("POST", "/auth/register", 422, json=ADA | changes)
    assert list(refused["details"]) == [field]


async def test_login_when_wrong_then_one_answer_for_every_reason(visitor: Client) -> None:
    await visitor.ask("POST", "/auth/register", 201, json=ADA)
    wrong = await visitor.ask("POST", "/auth/login", 401, json={"email": ADA["email"], "password": "wrong"})
    nobody = await visitor.ask("POST", "/auth/login", 401, json={"email": "no@example.com", "password": PASSWORD})
    assert {**wrong, "request_id": ""} == {**nobody, "request_id": ""}
    right = await visitor.ask("POST", "/auth/login", json={"email": "ADA@example.com", "password": PASSWORD})
    assert (await visitor.ask("GET", "/me", headers=bearer(right)))["email"] == "ada@example.com"


async def test_refresh_when_the_cookie_rotates_then_a_replayed_one_ends_both(visitor: Client, second: Client) -> None:
    await visitor.ask("POST", "/auth/register", 201, json=ADA)
    stolen = visitor.cookies[NAME]
    for _ in range(2):
        renewed = await visitor.ask("POST", "/auth/refresh")
    assert visitor.cookies[NAME] != stolen
    await visitor.ask("GET", "/me", headers=bearer(renewed))

    replay = await second.post("/api/v1/auth/refresh", headers={"Cookie": f"{NAME}={stolen}"})
    assert replay.status_code == 401
    assert "Max-Age=0" in replay.headers["set-cookie"]
    await visitor.ask("GET", "/me", 401, headers=bearer(renewed))
    await visitor.ask("POST", "/auth/refresh", 401)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({"Origin": "http://testserver"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://other.testserver"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_refresh_when_it_comes_from_another_site_then_refused(
    visitor: Client, headers: dict[str, str], status: int
) -> None:
    await visitor.ask("POST", "/auth/register", 201, json=ADA)
    await visitor.ask("POST", "/auth/refresh", status, headers=headers)


async def test_logout_when_done_then_the_token_the_cookie_and_the_session_are_over(visitor: Client) -> None:
    data = await visitor.ask("POST", "/auth/register", 201, json=ADA)
    kept = visitor.cookies[NAME]
    assert await visitor.ask("POST", "/auth/logout", 204) is None
    assert NAME not in visitor.cookies
    await visitor.ask("GET", "/me", 401, headers=bearer(data))
    await visitor.ask("POST", "/auth/refresh", 401, headers={"Cookie": f"{NAME}={kept}"})
    await visitor.ask("POST", "/auth/logout", 204)


async def test_logout_when_only_the_access_token_is_shown_then_its_session_ends(
    visitor: Client, second: Client
) -> None:
    data = await visitor.ask("POST", "/auth/register", 201, json=ADA)
    await second.ask("POST", "/auth/logout", 204, headers=bearer(data))
    await visitor.ask("GET", "/me", 401, headers=bearer(data))


async def test_login_when_an_ended_token_is_still_shown_then_it_does_not_stand_in_the_way(visitor: Client) -> None:
    data = await visitor.ask("POST", "/auth/register", 201, json=ADA)
    await visitor.ask("POST", "/auth/logout", 204, headers=bearer(data))
    await visitor.ask("POST", "/auth/login", headers=bearer(data), json={"email": ADA["email"], "password": PASSWORD})


async def test_forgotten_password_when_reset_then_every_token_is_void_at_once(
    visitor: Client, heard: list[Event]
) -> None:
    data = await visitor.ask("POST", "/auth/register", 201, json=ADA)
    answers = [
        await visitor.ask("POST", "/auth/password/forgot", 202, json={"email": email})
        for email in (ADA["email"], "nobody@example.com")
    ]
    assert answers[0] == answers[1]
    token = token_of(heard, PasswordResetRequested)
    await visitor.ask("POST", "/auth/password/reset", 422, json={"token": token, "password": "short"})
    await visitor.ask("POST", "/auth/password/reset", json={"token": token, "password": NEW})
    await visitor.ask("POST", "/auth/password/reset", 400, json={"token": token, "password": NEW})

    await visitor.ask("GET", "/me", 401, headers=bearer(data))
    await visitor.ask("POST", "/auth/login", 401, json={"email": ADA["email"], "password": PASSWORD})
    await visitor.ask("POST", "/auth/login", json={"email": ADA["email"], "password": NEW})


async def test_password_when_changed_then_the_other_browser_is_signed_out(visitor: Client, second: Client) -> None:
    mine = await visitor.ask("POST", "/auth/register", 201, json=ADA)
    other = await second.ask("POST", "/auth/login", json={"email": ADA["email"], "password": PASSWORD})
    change = {"current_password": PASSWORD, "new_password": NEW}
    await visitor.ask("POST", "/auth/password/change", 401, json=change)
    renewed = await visitor.ask("POST", "/auth/password/change", headers=bearer(mine), json=change)

    await visitor.ask("GET", "/me", headers=bearer(renewed))
    await visitor.ask("GET", "/me", 401, headers=bearer(mine))
    await second.ask("GET", "/me", 401, headers=bearer(other))
    await second.ask("POST", "/auth/refresh", 401)
    await visitor.ask("POST", "/auth/refresh")


async def test_address_when_verified_then_the_profile_says_so(visitor: Client, heard: list[Event]) -> None:
    data = await visitor.ask("POST", "/auth/register", 201, json=ADA)
    assert data["user"]["email_verified_at"] is None
    for body in ({}, {"token": "x", "email": "ada@example.com"}):
        await visitor.ask("POST", "/auth/email/verify", 422, json=body)
    token = token_of(heard, EmailVerificationRequested)
    assert await visitor.ask("POST", "/auth/email/verify", json={"token": token}) == {
        "email": "ada@example.com",
        "verified": True,
    }
    await visitor.ask("POST", "/auth/email/verify", 400, json={"token": token})
    for email in (ADA["email"], "nobody@example.com"):
        await visitor.ask("POST", "/auth/email/verify", 202, json={"email": email})
    assert (await visitor.ask("GET", "/me", headers=bearer(data)))["email_verified_at"] is not None


async def test_sign_in_elsewhere_when_there_is_no_such_provider_then_404(visitor: Client) -> None:
    await visitor.ask("GET", "/auth/oauth/nowhere/start", 404)
    await visitor.ask("GET", "/auth/oauth/nowhere/callback?state=x&code=y&scope=email&authuser=0", 400)


async def test_attempts_when_too_many_then_429_with_retry_after_and_other_accounts_go_on(visitor: Client) -> None:
    body = {"email": ADA["email"], "password": "wrong"}
    answers = [await visitor.post("/api/v1/auth/login", json=body) for _ in range(21)]
    assert [each.status_code for each in answers] == [401] * 20 + [429]
    assert answers[-1].json()["error"]["code"] == "RATE_LIMITED"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    await visitor.ask("POST", "/auth/login", 401, json=body | {"email": "bob@example.com"})


@pytest.fixture
async def secure(app_settings: Settings) -> AsyncIterator[Client]:
    """Somebody who talks to a deployment that is reached by https."""
    home = app_settings.app.model_copy(update={"public_url": "https://tenantry.example"})
    async with (
        TestApplication.open(app_settings.model_copy(update={"app": home})) as opened,
        opened.client() as client,
    ):
        client.base_url = httpx.URL("https://testserver")
        yield client


async def test_cookie_when_reached_by_https_then_nobody_else_can_plant_one(secure: Client) -> None:
    answer = await secure.post("/api/v1/auth/register", json=ADA)
    cookies = answer.headers.get_list("set-cookie")
    assert [each.partition("=")[0] for each in cookies] == [f"__Host-{NAME}", f"__Host-{DEVICE}"]
    for each in cookies:
        for part in ("; Path=/;", "; Secure", "; HttpOnly", "; SameSite=Strict"):
            assert part in each
        assert "domain" not in each.lower()
    good = secure.cookies[f"__Host-{NAME}"]
    secure.cookies.clear()
    await secure.ask("POST", "/auth/refresh", 401, headers={"Cookie": f"{NAME}={good}"})
    await secure.ask("POST", "/auth/refresh", headers={"Cookie": f"{NAME}=planted; __Host-{NAME}={good}"})


@pytest.mark.parametrize("cookies", ["{0}=planted; {0}={1}", "{0}={1}; {0}=planted", "{0}={1}; {0}={1}"])
async def test_cookie_when_sent_twice_then_refused_and_the_session_goes_on(visitor: Client, cookies: str) -> None:
    data = await visitor.ask("POST", "/auth/register", 201, json=ADA)
    good = visitor.cookies[NAME]
    visitor.cookies.clear()
    for path in ("/auth/refresh", "/auth/logout"):
        await visitor.ask("POST", path, 400, headers={"Cookie": cookies.format(NAME, good)})
    await visitor.ask("GET", "/me", headers=bearer(data))
    await visitor.ask("POST", "/auth/refresh", headers={"Cookie": f"{NAME}={good}"})


async def test_address_when_its_owner_opens_the_link_elsewhere_then_who_registered_it_is_signed_out(
    visitor: Client, second: Client, heard: list[Event]
) -> None:
    squatting = await visitor.ask("POST", "/auth/register", 201, json=ADA)
    await second.ask("POST", "/auth/email/verify", json={"token": token_of(heard, EmailVerificationRequested)})
    await visitor.ask("GET", "/me", 401, headers=bearer(squatting))
    await visitor.ask("POST", "/auth/refresh", 401)


async def test_attempts_when_others_guess_on_the_same_network_then_who_was_signed_in_there_gets_in(
    visitor: Client, second: Client
) -> None:
    await visitor.ask("POST", "/auth/register", 201, json=ADA)
    await visitor.ask("POST", "/auth/logout", 204)
    wrong = {"email": ADA["email"], "password": "wrong"}
    assert [(await second.post("/api/v1/auth/login", json=wrong)).status_code for _ in range(21)][-1] == 429
    await visitor.ask("POST", "/auth/login", json={"email": ADA["email"], "password": PASSWORD})
