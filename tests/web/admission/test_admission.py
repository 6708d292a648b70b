"""Admission: credentials, rates, the tenant, whether the plugin is on, permissions."""

from __future__ import annotations

import asyncio

from host.settings import Settings
from host.testing import TestApplication, TwoTenants
from tenants.limits import parse_rate


async def test_request_when_without_or_with_a_forged_token_then_401(two_tenants: TwoTenants) -> None:
    await two_tenants.anonymous.ask("GET", "/projects", 401, headers={"X-Tenant": "acme"})
    good = two_tenants.acme.headers["Authorization"]
    for shown in (good[:-2], good.replace("Bearer", "Basic"), "Bearer", "Bearer x.y.z", "Bearer tk_a_b_c", "é" * 3):
        answer = await two_tenants.anonymous.get(
            "/api/v1/projects", headers=[(b"Authorization", shown.encode("latin-1")), (b"X-Tenant", b"acme")]
        )
        assert answer.status_code == 401, shown
        assert answer.json()["error"]["code"] == "UNAUTHENTICATED"


async def test_tenant_when_not_ones_own_then_exactly_like_one_that_never_was(two_tenants: TwoTenants) -> None:
    answers = [
        await two_tenants.acme.ask("GET", "/projects", 404, headers={"X-Tenant": slug})
        for slug in ("globex", "nobody", "NOT A SLUG", "a" * 3000)
    ]
    assert {(answer["code"], answer["message"], str(answer["details"])) for answer in answers} == {
        ("NOT_FOUND", "There is no such thing here.", "{}")
    }


async def test_tenant_when_named_by_nothing_but_the_token_then_its_default(two_tenants: TwoTenants) -> None:
    del two_tenants.acme.headers["X-Tenant"]
    assert (await two_tenants.acme.ask("GET", "/tenant"))["slug"] == "acme"


async def test_session_when_ended_elsewhere_then_refused_at_the_next_request(two_tenants: TwoTenants) -> None:
    await two_tenants.acme.ask("GET", "/projects")
    (session,) = await two_tenants.acme.ask("GET", "/me/sessions")
    await two_tenants.acme.ask("DELETE", f"/me/sessions/{session['id']}", 204)
    await two_tenants.acme.ask("GET", "/projects", 401)


async def test_session_when_ended_and_redis_emptied_then_still_refused(two_tenants: TwoTenants) -> None:
    await two_tenants.acme.ask("GET", "/projects")
    (session,) = await two_tenants.acme.ask("GET", "/me/sessions")
    await two_tenants.acme.ask("DELETE", f"/me/sessions/{session['id']}", 204)
    await two_tenants.application.inner.services.redis_client.call("FLUSHALL")
    await two_tenants.acme.ask("GET", "/projects", 401)


async def test_revocation_when_on_another_process_then_felt_at_the_next_request(
    two_tenants: TwoTenants, app_settings: Settings
) -> None:
    async with TestApplication.open(app_settings) as elsewhere:
        async with elsewhere.client(**dict(two_tenants.acme_member.headers)) as member:
            await member.ask("POST", "/projects", 201, json={"name": "Mine"})
            (session,) = await two_tenants.acme_member.ask("GET", "/me/sessions")
            await two_tenants.acme_member.ask("DELETE", f"/me/sessions/{session['id']}", 204)
            await member.ask("GET", "/projects", 401)
        async with elsewhere.client(**dict(two_tenants.acme_viewer.headers)) as viewer:
            await viewer.ask("GET", "/projects")
            await two_tenants.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
            assert (await viewer.ask("GET", "/projects", 404))["code"] == "PLUGIN_DISABLED"
            await two_tenants.acme.ask("DELETE", f"/tenant/members/{two_tenants.acme_viewer.user_id}", 204)
            assert (await viewer.ask("GET", "/projects", 404))["code"] == "NOT_FOUND"


async def test_rate_when_used_up_by_many_at_once_then_exactly_the_limit_is_let_in(app_settings: Settings) -> None:
    rates = app_settings.rates.model_copy(update={"authenticated": parse_rate("50/minute")})
    limited = app_settings.model_copy(update={"rates": rates})
    async with TestApplication.open(limited) as application, TwoTenants.create(application) as both:
        answers = await asyncio.gather(*(both.acme.get("/api/v1/projects") for _ in range(80)))
        assert sorted(answer.status_code for answer in answers) == [200] * 50 + [429] * 30
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] == "RATE_LIMITED"
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit-Limit"] == "50"
        await both.globex.ask("GET", "/projects")


async def test_plugin_when_in_quarantine_then_503_with_its_name_and_ready_stays_green(two_tenants: TwoTenants) -> None:
    two_tenants.application.inner.registry.quarantine.put("projects", "it raised")
    refused = await two_tenants.acme.ask("GET", "/projects", 503)
    assert (refused["code"], refused["details"]) == ("PLUGIN_QUARANTINED", {"plugin": "projects"})
    ready = await two_tenants.anonymous.ask("GET", "/ready")
    assert ready["parts"]["projects"]["ok"] is False
    await two_tenants.acme.ask("GET", "/audit/entries")


async def test_denial_when_it_happens_then_it_is_recorded_with_its_reason(two_tenants: TwoTenants) -> None:
    await two_tenants.acme_viewer.ask("POST", "/projects", 403, json={"name": "No"})
    (entry,) = await two_tenants.acme.ask("GET", "/audit/entries?outcome=denied")
    assert entry["action"] == "projects.projects.create"
    assert entry["actor_id"] == str(two_tenants.acme_viewer.user_id)
    assert "viewer" in entry["reason"]


async def test_redis_when_away_then_503_with_retry_after(two_tenants: TwoTenants) -> None:
    await two_tenants.application.inner.services.redis_client.close()
    answer = await two_tenants.acme.get("/api/v1/projects")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_api_keys_when_guessed_then_the_guesser_runs_into_the_rate_of_anonymous_callers(
    app_settings: Settings,
) -> None:
    rates = app_settings.rates.model_copy(update={"public": parse_rate("5/minute")})
    limited = app_settings.model_copy(update={"rates": rates})
    async with TestApplication.open(limited) as application, TwoTenants.create(application) as both:
        made = await both.acme.ask(
            "POST", "/tenant/api-keys", 201, json={"name": "CI", "permissions": ["projects.projects.read"]}
        )
        good = {"Authorization": f"Bearer {made['key']}", "X-Tenant": ""}
        bad = {"Authorization": f"Bearer {made['key'][:-4]}aaaa"}
        statuses = [
            (await both.anonymous.get("/api/v1/tenant", headers=headers)).status_code for headers in (good, *[bad] * 6)
        ]
        assert statuses == [200, 401, 401, 401, 401, 429, 429]
        assert (await both.anonymous.get("/api/v1/tenant", headers=good)).status_code == 200


async def test_signed_routes_when_called_often_then_not_held_to_the_rate_of_anonymous_callers(
    app_settings: Settings,
) -> None:
    rates = app_settings.rates.model_copy(update={"public": parse_rate("2/minute"), "signed": parse_rate("4/minute")})
    async with (
        TestApplication.open(app_settings.model_copy(update={"rates": rates})) as application,
        application.client() as service,
    ):
        answers = [await service.post("/api/v1/mail/webhooks/sendgrid", content=b"[]") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 404, 429]  # no such account here


async def test_token_when_its_session_has_ended_then_it_uses_up_the_rate_of_its_address_not_of_its_person(
    app_settings: Settings,
) -> None:
    rates = app_settings.rates.model_copy(update={"authenticated": parse_rate("6/minute")})
    async with (
        TestApplication.open(app_settings.model_copy(update={"rates": rates})) as application,
        application.client() as ada,
    ):
        person = {"email": "ada@example.com", "password": "a long enough passphrase", "name": "Ada"}
        old = await ada.ask("POST", "/auth/register", 201, json=person)
        await ada.ask("POST", "/auth/logout", 204)
        new = await ada.ask("POST", "/auth/login", json={key: person[key] for key in ("email", "password")})
        for token, statuses in (("nonsense", [401] * 3), (old["access_token"], [401] * 3 + [429])):
            headers = {"Authorization": f"Bearer {token}"}
            assert [(await ada.get("/api/v1/me", headers=headers)).status_code for _ in statuses] == statuses
        headers = {"Authorization": f"Bearer {new['access_token']}"}
        assert [(await ada.get("/api/v1/me", headers=headers)).status_code for _ in range(7)] == [200] * 6 + [429]
