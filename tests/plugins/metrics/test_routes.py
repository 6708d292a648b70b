"""The two resources, over HTTP: who may scrape what, and what an administrator sees of their own use."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from host.cache.versions import Versions
from host.settings import Settings
from host.testing import Client, TestApplication, TwoTenants
from tenants.models import User

TOKEN = "a-token-for-the-scraper"


@pytest.fixture
def app_settings(app_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As everywhere, with a scrape token and a network that may scrape."""
    monkeypatch.setenv("TENANTRY_METRICS__TOKEN", TOKEN)
    monkeypatch.setenv("TENANTRY_METRICS__ADDRESSES", '["10.1.0.0/16", "::1"]')
    return app_settings


async def scrape(client: Client, status: int = 200, **headers: str) -> str:
    answer = await client.get("/api/v1/metrics", headers={"Authorization": f"Bearer {TOKEN}", **headers})
    assert answer.status_code == status, answer.text
    return answer.text


def values(text: str, name: str, **labels: str) -> dict[tuple[str, ...], float]:
    """The samples of a name with these labels among theirs, by their other labels."""
    return {
        tuple(value for label, value in sorted(sample.labels.items()) if label not in labels): sample.value
        for family in read_text(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


# -- who may scrape --------------------------------------------------------------------------------------


async def test_scrape_when_the_token_is_right_then_text_that_prometheus_reads(application: TestApplication) -> None:
    async with application.client() as anonymous:
        text = await scrape(anonymous)
    families = {family.name: family for family in read_text(text)}
    assert families["tenantry_processes"].samples[0].value == 1
    assert values(text, "tenantry_database_up") == {(): 1}
    assert values(text, "tenantry_tenants", plan="free") == {("active",): 0}


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer ünïcode"]
)
async def test_scrape_when_the_token_is_wrong_then_401(application: TestApplication, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode()}
    async with application.client() as anonymous:
        answer = await anonymous.get("/api/v1/metrics", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_scrape_when_whoever_asks_is_known_then_only_an_operator_may(two_tenants: TwoTenants) -> None:
    error = await two_tenants.acme.ask("GET", "/metrics", 403)
    assert error["code"] == "PERMISSION_DENIED"
    wanted = {"name": "ci", "permissions": ["metrics.summary.read"]}
    key = (await two_tenants.acme.ask("POST", "/tenant/api-keys", 201, json=wanted))["key"]
    async with two_tenants.application.client(Authorization=f"Bearer {key}") as program:
        assert (await program.get("/api/v1/metrics")).status_code == 401
        assert (await program.get("/api/v1/metrics/summary")).status_code == 200
    with two_tenants.application.inner.bound():
        await User.filter(id=two_tenants.acme.user_id).update(is_operator=True)
        await Versions(two_tenants.application.inner.services.redis_client).touched([], [two_tenants.acme.user_id])
    answer = await two_tenants.acme.get("/api/v1/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("address", "status"),
    [("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("::1", 200), ("10.2.0.1", 401), ("127.0.0.1", 401), ("", 401)],
)
async def test_scrape_when_the_address_is_bound_then_no_token_is_needed(
    application: TestApplication, address: str, status: int
) -> None:
    async with application.client() as prober:
        prober._transport.client = (address, 1)  # type: ignore[attr-defined]
        assert (await prober.get("/api/v1/metrics")).status_code == status


async def test_scrape_when_no_token_is_set_then_none_opens_anything(
    app_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TENANTRY_METRICS__TOKEN", "TENANTRY_METRICS__ADDRESSES"):
        monkeypatch.delenv(name)
    async with TestApplication.open(app_settings) as application, application.client() as anonymous:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}):
            assert (await anonymous.get("/api/v1/metrics", headers=headers)).status_code == 401


async def test_application_when_the_scrape_token_is_too_short_or_an_address_is_none_then_does_not_start(
    app_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_METRICS__TOKEN", "secret")
    monkeypatch.setenv("TENANTRY_METRICS__ADDRESSES", "10.0.0.0/33")
    with pytest.raises(Exception, match=r"(?s)METRICS__TOKEN.*16 characters.*METRICS__ADDRESSES") as refused:
        async with TestApplication.open(app_settings):
            pass
    assert "secret" not in str(refused.value)


# -- what is told ----------------------------------------------------------------------------------------


async def test_scrape_when_accept_asks_for_it_then_openmetrics_and_packed(application: TestApplication) -> None:
    accept = "application/openmetrics-text;version=1.0.0,application/json;q=0.5,text/plain;version=0.0.4;q=0.3"
    async with application.client() as scraper:
        packed = {"Authorization": f"Bearer {TOKEN}", "Accept": accept, "Accept-Encoding": "gzip"}
        async with scraper.stream("GET", "/api/v1/metrics", headers=packed) as answer:
            raw = b"".join([piece async for piece in answer.aiter_raw()])
        plain = await scraper.get("/api/v1/metrics", headers={**packed, "Accept-Encoding": "identity"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-encoding"] == "gzip"
    text = gzip.decompress(raw).decode()
    assert text.endswith("# EOF\n")
    assert {each.name for each in read_openmetrics(text)} == {each.name for each in read_openmetrics(plain.text)}


@pytest.mark.parametrize(
    ("wanted", "packed"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP ; q=0.5", True),
        ("gzip;q=1.000,identity", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, identity", False),
        ("xgzip, gzip2", False),
        ("br", False),
    ],
)
async def test_scrape_when_gzip_is_wanted_or_not_then_packed_or_not(
    application: TestApplication, wanted: str, packed: bool
) -> None:
    async with application.client() as scraper:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": wanted}
        answer = await scraper.get("/api/v1/metrics", headers=headers)
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)


async def test_requests_when_answered_then_counted_by_what_they_were_and_how_they_ended(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme
    project = await acme.ask("POST", "/projects", 201, json={"name": "Apollo"})
    await acme.ask("GET", f"/projects/{project['id']}")
    await acme.ask("GET", f"/projects/{two_tenants.globex.user_id}", 404)
    await two_tenants.acme_viewer.ask("DELETE", f"/projects/{project['id']}", 403)
    text = await scrape(two_tenants.anonymous)
    told = values(text, "tenantry_http_requests_total", plugin="projects")
    assert told[("POST", "projects.projects.create", "201")] == 1
    assert told[("GET", "projects.projects.get", "200")] == 1
    assert told[("GET", "projects.projects.get", "404")] == 1
    assert told[("DELETE", "projects.projects.delete", "403")] == 1
    seen = values(text, "tenantry_http_request_duration_seconds_count", operation="projects.projects.get")
    assert seen == {(): 2}
    buckets = values(text, "tenantry_http_request_duration_seconds_bucket", operation="projects.projects.get")
    assert buckets[("+Inf",)] == 2
    assert list(buckets.values()) == sorted(buckets.values())
    errors = values(text, "tenantry_http_errors_total")
    assert errors[("NOT_FOUND", "projects")] == 1
    assert errors[("PERMISSION_DENIED", "projects")] == 1
    in_progress = values(text, "tenantry_http_requests_in_progress")
    assert {labels for labels, number in in_progress.items() if number} == {("metrics.scrape.read",)}
    assert values(text, "tenantry_tenant_requests_total", tenant="acme") == {
        ("succeeded",): 2, ("refused",): 2, ("failed",): 0,
    }  # fmt: skip


async def test_labels_when_outsiders_make_up_paths_and_methods_then_stay_few(application: TestApplication) -> None:
    async with application.client() as anonymous:
        for number in range(300):
            await anonymous.get(f"/api/v1/made/up/{number}?x={number}")
            await anonymous.request(f"METHOD{number}", f"/api/v1/tasks/{number}")
            await anonymous.request("GET", "/api/v1/projects", headers={"X-Tenant": f"made-up-{number}"})
        await anonymous.request("PROPFIND", "/api/v1/projects")
        await anonymous.get("/api/docs")
        text = await scrape(anonymous)
    told = values(text, "tenantry_http_requests_total")
    assert {labels[1] for labels in told} <= {"unmatched", "projects.projects.list", "page /api/docs"}
    assert {labels[0] for labels in told} <= {"GET", "other"}
    assert told[("GET", "unmatched", "host", "404")] == 300
    assert sum(value for labels, value in told.items() if labels[0] == "other") == 301
    assert "made" not in text
    assert "METHOD1" not in text


async def test_scrape_when_everything_has_happened_then_no_label_holds_an_id_or_a_person(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme
    project = await acme.ask("POST", "/projects", 201, json={"name": "Apollo"})
    await acme.ask("POST", f"/projects/{project['id']}/tasks", 201, json={"title": "Land"})
    await two_tenants.application.run_jobs()
    text = await scrape(two_tenants.anonymous)
    for secret in (project["id"], str(acme.user_id), str(acme.tenant_id), "owner@acme.example", "127.0.0.1"):
        assert secret not in text


async def test_hooks_jobs_events_redis_and_database_when_used_then_measured(two_tenants: TwoTenants) -> None:
    acme, application = two_tenants.acme, two_tenants.application
    await acme.ask("POST", "/projects", 201, json={"name": "Apollo"})
    text = await scrape(two_tenants.anonymous)
    assert values(text, "tenantry_hook_duration_seconds_count", hook="on_action")[("audit",)] >= 1
    assert values(text, "tenantry_job_runs_total", task="host.tenant_created") == {("done",): 2}
    assert values(text, "tenantry_job_duration_seconds_count", task="host.tenant_created") == {(): 2}
    assert values(text, "tenantry_events_announced_total", event="projects.ProjectCreated") == {(): 1}
    assert values(text, "tenantry_redis_duration_seconds_count", command="EVALSHA")[()] > 1
    assert values(text, "tenantry_database_duration_seconds_count", plugin="projects")[()] >= 1
    assert values(text, "tenantry_database_pool_size")[()] >= 1
    assert values(text, "tenantry_plugins_quarantined", plugin="projects") == {(): 0}
    assert values(text, "tenantry_users") == {(): 8}
    assert values(text, "tenantry_users_active") == {(): 8}
    assert sum(values(text, "tenantry_tenants").values()) == 2
    application.inner.registry.quarantine.put("projects", "a test")
    assert values(await scrape(two_tenants.anonymous), "tenantry_plugins_quarantined", plugin="projects") == {(): 1}


async def test_refusals_when_signing_in_rates_and_quotas_refuse_then_counted(two_tenants: TwoTenants) -> None:
    anonymous, acme = two_tenants.anonymous, two_tenants.acme
    for _ in range(21):
        body = {"email": "owner@acme.example", "password": "guessed"}
        answer = await anonymous.post("/api/v1/auth/login", json=body)
    assert answer.status_code == 429
    with two_tenants.application.inner.bound():
        await two_tenants.application.inner.provisioning.set_limit(acme.tenant_id, "projects.projects", "0")
    await acme.ask("POST", "/projects", 402, json={"name": "Apollo"})
    text = await scrape(anonymous)
    assert values(text, "tenantry_sign_ins_total", method="password") == {("wrong password",): 20}
    assert values(text, "tenantry_rate_refusals_total") == {("sign_in",): 1}
    assert values(text, "tenantry_quota_refusals_total") == {("projects.projects",): 1}


# -- a tenant's own use ----------------------------------------------------------------------------------


async def settled(application: TestApplication) -> None:
    """What was measured is in Redis, as it is after some seconds."""
    assert await application.inner.services.metering.flush()


async def summary(client: Client, query: str = "") -> Any:
    return await client.ask("GET", f"/metrics/summary{query}")


async def test_summary_when_read_by_an_administrator_then_their_own_requests_and_nobody_elses(
    two_tenants: TwoTenants,
) -> None:
    acme = two_tenants.acme
    await acme.ask("POST", "/projects", 201, json={"name": "Apollo"})
    for _ in range(2):
        await acme.ask("GET", "/projects")
    await acme.ask("GET", "/projects/00000000-0000-0000-0000-000000000000", 404)
    await settled(two_tenants.application)
    told = await summary(two_tenants.acme_admin)
    today = told["days"][0]
    assert (today["requests"], today["succeeded"], today["refused"], today["failed"]) == (4, 3, 1, 0)
    assert today["day"] == datetime.now(UTC).date().isoformat()
    assert 0 < today["p50_ms"] <= today["p95_ms"]
    assert today["used"]["projects.projects"] == 1
    assert {key: value for key, value in today.items() if key not in {"day", "used"}} == told["total"]
    assert [each["name"] for each in told["usage"]] == [each["name"] for each in await acme.ask("GET", "/usage")]
    assert len(told["days"]) == 30
    assert told["days"][1]["p50_ms"] is None
    theirs = await summary(two_tenants.globex)
    assert theirs["total"]["requests"] == 0


async def test_summary_when_read_again_then_nothing_is_counted_twice(two_tenants: TwoTenants) -> None:
    await settled(two_tenants.application)
    first = (await summary(two_tenants.acme))["total"]["requests"]
    await settled(two_tenants.application)
    assert [(await summary(two_tenants.acme))["total"]["requests"] for _ in range(3)] == [first + 1] * 3
    await settled(two_tenants.application)
    assert (await summary(two_tenants.acme))["total"]["requests"] == first + 4


@pytest.mark.parametrize("query", ["?days=0", "?days=91", "?days=x", "?from=2026-01-01", "?days=-1"])
async def test_summary_when_asked_for_too_much_then_422(two_tenants: TwoTenants, query: str) -> None:
    error = await two_tenants.acme.ask("GET", f"/metrics/summary{query}", 422)
    assert error["code"] == "VALIDATION_ERROR"


async def test_summary_when_asked_by_others_then_refused(two_tenants: TwoTenants) -> None:
    for client in (two_tenants.acme_member, two_tenants.acme_viewer):
        error = await client.ask("GET", "/metrics/summary", 403)
        assert error["details"]["permission"] == "metrics.summary.read"
    await two_tenants.anonymous.ask("GET", "/metrics/summary", 401)
    await two_tenants.anonymous.ask("GET", "/metrics/summary", 401, headers={"Authorization": f"Bearer {TOKEN}"})
    theirs = {"X-Tenant": "globex"}
    nobodys = {"X-Tenant": "no-such-tenant"}
    first, second = [await two_tenants.acme.ask("GET", "/metrics/summary", 404, headers=h) for h in (theirs, nobodys)]
    assert first["message"] == second["message"]


async def test_summary_when_asked_for_other_lengths_then_so_many_days_back(two_tenants: TwoTenants) -> None:
    days = [each["day"] for each in (await summary(two_tenants.acme, "?days=90"))["days"]]
    today = datetime.now(UTC).date()
    assert days == [(today - timedelta(days=back)).isoformat() for back in range(90)]
    assert date.fromisoformat(days[0]) == today
