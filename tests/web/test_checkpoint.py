"""The checkpoint: who, how often, which tenant, is it on, may they."""

from __future__ import annotations

import asyncio

from host.settings import Settings
from host.testing import Neighbours, TestHouse


async def test_request_when_without_or_with_a_forged_token_then_401(neighbours: Neighbours) -> None:
    await neighbours.stranger.ask("GET", "/projects", 401, headers={"X-Tenant": "acme"})
    good = neighbours.acme.headers["Authorization"]
    for shown in (good[:-2], good.replace("Bearer", "Basic"), "Bearer", "Bearer x.y.z", "Bearer tk_a_b_c", "é" * 3):
        answer = await neighbours.stranger.get(
            "/api/v1/projects", headers=[(b"Authorization", shown.encode("latin-1")), (b"X-Tenant", b"acme")]
        )
        assert answer.status_code == 401, shown
        assert answer.json()["error"]["code"] == "UNAUTHENTICATED"


async def test_tenant_when_not_ones_own_then_exactly_like_one_that_never_was(neighbours: Neighbours) -> None:
    answers = [
        await neighbours.acme.ask("GET", "/projects", 404, headers={"X-Tenant": slug})
        for slug in ("globex", "nobody", "NOT A SLUG", "a" * 3000)
    ]
    assert {(answer["code"], answer["message"], str(answer["details"])) for answer in answers} == {
        ("NOT_FOUND", "There is no such thing here.", "{}")
    }


async def test_tenant_when_named_by_nothing_but_the_token_then_its_default(neighbours: Neighbours) -> None:
    del neighbours.acme.headers["X-Tenant"]
    assert (await neighbours.acme.ask("GET", "/tenant"))["slug"] == "acme"


async def test_session_when_ended_elsewhere_then_refused_at_the_next_request(neighbours: Neighbours) -> None:
    await neighbours.acme.ask("GET", "/projects")
    (session,) = await neighbours.acme.ask("GET", "/me/sessions")
    await neighbours.acme.ask("DELETE", f"/me/sessions/{session['id']}", 204)
    await neighbours.acme.ask("GET", "/projects", 401)


async def test_session_when_ended_and_redis_emptied_then_still_refused(neighbours: Neighbours) -> None:
    await neighbours.acme.ask("GET", "/projects")
    (session,) = await neighbours.acme.ask("GET", "/me/sessions")
    await neighbours.acme.ask("DELETE", f"/me/sessions/{session['id']}", 204)
    await neighbours.house.inner.services.wire.call("FLUSHALL")
    await neighbours.acme.ask("GET", "/projects", 401)


async def test_revocation_when_on_another_process_then_felt_at_the_next_request(
    neighbours: Neighbours, house_settings: Settings
) -> None:
    async with TestHouse.open(house_settings) as elsewhere:
        async with elsewhere.client(**dict(neighbours.acme_member.headers)) as member:
            await member.ask("POST", "/projects", 201, json={"name": "Mine"})
            (session,) = await neighbours.acme_member.ask("GET", "/me/sessions")
            await neighbours.acme_member.ask("DELETE", f"/me/sessions/{session['id']}", 204)
            await member.ask("GET", "/projects", 401)
        async with elsewhere.client(**dict(neighbours.acme_viewer.headers)) as viewer:
            await viewer.ask("GET", "/projects")
            await neighbours.acme.ask("PUT", "/tenant/plugins/projects", json={"enabled": False})
            assert (await viewer.ask("GET", "/projects", 404))["code"] == "PLUGIN_DISABLED"
            await neighbours.acme.ask("DELETE", f"/tenant/members/{neighbours.acme_viewer.user_id}", 204)
            assert (await viewer.ask("GET", "/projects", 404))["code"] == "NOT_FOUND"


async def test_rate_when_used_up_by_many_at_once_then_exactly_the_limit_is_let_in(house_settings: Settings) -> None:
    rates = house_settings.rates.model_copy(update={"authenticated": "50/minute"})
    limited = house_settings.model_copy(update={"rates": rates})
    async with TestHouse.open(limited) as house, Neighbours.move_in(house) as both:
        answers = await asyncio.gather(*(both.acme.get("/api/v1/projects") for _ in range(80)))
        assert sorted(answer.status_code for answer in answers) == [200] * 50 + [429] * 30
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] == "RATE_LIMITED"
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit-Limit"] == "50"
        await both.globex.ask("GET", "/projects")


async def test_plugin_when_in_quarantine_then_503_with_its_name_and_ready_stays_green(neighbours: Neighbours) -> None:
    neighbours.house.inner.registry.quarantine.put("projects", "it raised")
    refused = await neighbours.acme.ask("GET", "/projects", 503)
    assert (refused["code"], refused["details"]) == ("PLUGIN_QUARANTINED", {"plugin": "projects"})
    ready = await neighbours.stranger.ask("GET", "/ready")
    assert ready["parts"]["projects"]["ok"] is False
    await neighbours.acme.ask("GET", "/audit/entries")


async def test_denial_when_it_happens_then_it_is_recorded_with_its_reason(neighbours: Neighbours) -> None:
    await neighbours.acme_viewer.ask("POST", "/projects", 403, json={"name": "No"})
    (entry,) = await neighbours.acme.ask("GET", "/audit/entries?outcome=denied")
    assert entry["action"] == "projects.projects.create"
    assert entry["actor_id"] == str(neighbours.acme_viewer.user_id)
    assert "viewer" in entry["reason"]


async def test_redis_when_away_then_503_with_retry_after(neighbours: Neighbours) -> None:
    await neighbours.house.inner.services.wire.close()
    answer = await neighbours.acme.get("/api/v1/projects")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_api_keys_when_guessed_then_the_guesser_runs_into_the_rate_of_strangers(
    house_settings: Settings,
) -> None:
    rates = house_settings.rates.model_copy(update={"public": "5/minute"})
    limited = house_settings.model_copy(update={"rates": rates})
    async with TestHouse.open(limited) as house, Neighbours.move_in(house) as both:
        made = await both.acme.ask(
            "POST", "/tenant/api-keys", 201, json={"name": "CI", "permissions": ["projects.projects.read"]}
        )
        good = {"Authorization": f"Bearer {made['key']}", "X-Tenant": ""}
        bad = {"Authorization": f"Bearer {made['key'][:-4]}aaaa"}
        statuses = [
            (await both.stranger.get("/api/v1/tenant", headers=headers)).status_code for headers in (good, *[bad] * 6)
        ]
        assert statuses == [200, 401, 401, 401, 401, 429, 429]
        assert (await both.stranger.get("/api/v1/tenant", headers=good)).status_code == 200


async def test_signed_routes_when_called_often_then_not_held_to_the_rate_of_strangers(house_settings: Settings) -> None:
    rates = house_settings.rates.model_copy(update={"public": "2/minute", "signed": "4/minute"})
    async with TestHouse.open(house_settings.model_copy(update={"rates": rates})) as house, house.client() as service:
        answers = [await service.post("/api/v1/mail/webhooks/sendgrid", content=b"[]") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 404, 429]  # no such account here


async def test_token_when_its_session_has_ended_then_it_uses_up_the_rate_of_its_address_not_of_its_person(
    house_settings: Settings,
) -> None:
    rates = house_settings.rates.model_copy(update={"authenticated": "6/minute"})
    async with (
        TestHouse.open(house_settings.model_copy(update={"rates": rates})) as house,
        house.client() as ada,
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
