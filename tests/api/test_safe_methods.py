"""What is only looked at does nothing: HEAD, OPTIONS and what browsers load ahead of time."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from host.testing import TwoTenants

EXPORT = "/api/v1/audit/export"


async def exports(two_tenants: TwoTenants) -> int:
    return len(await two_tenants.acme.ask("GET", "/audit/entries?action=audit.entries.export"))


async def test_export_when_only_its_head_is_asked_for_then_not_on_record(two_tenants: TwoTenants) -> None:
    answer = await two_tenants.acme.head(EXPORT)
    assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (204, b"", "no-store")
    assert (await two_tenants.acme.options(EXPORT)).status_code == 204
    assert await exports(two_tenants) == 0
    assert (await two_tenants.acme.get(EXPORT)).status_code == 200
    assert await exports(two_tenants) == 1


@pytest.mark.parametrize(
    "said", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}, {"X-Moz": "prefetch"}]
)
async def test_export_when_loaded_ahead_of_time_then_refused_and_not_on_record(
    two_tenants: TwoTenants, said: dict[str, str]
) -> None:
    assert (await two_tenants.acme.get(EXPORT, headers=said)).status_code == 409
    assert await exports(two_tenants) == 0
    assert (await two_tenants.acme.get("/api/v1/tenant", headers=said)).status_code == 200


async def test_head_when_they_may_not_then_refused_as_for_get(two_tenants: TwoTenants) -> None:
    assert (await two_tenants.anonymous.head(EXPORT)).status_code == 401
    assert (await two_tenants.acme_member.head(EXPORT)).status_code == 403
    assert (await two_tenants.acme.head("/api/v1/tenant")).headers["etag"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/mail/unsubscribe/very-secret", "GET /api/v1/mail/unsubscribe/{token}"),
        ("/api/v1/mail/c/very-secret", "GET /api/v1/mail/c/{token}"),
        ("/api/v1/mail/webhooks/ses/very-secret", "GET (no such route)"),
        ("/api/v1/mail/unsubscribes/very-secret", "GET (no such route)"),
        ("/api/v1/tenant?token=very-secret", "GET /api/v1/tenant"),
        ("/api/docs/very-secret", "GET /api/docs/<name>"),
        ("//very-secret", "GET (no such route)"),
    ],
)
async def test_log_when_a_path_holds_a_token_then_the_line_names_the_route_only(
    two_tenants: TwoTenants, caplog: pytest.LogCaptureFixture, path: str, said: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        await two_tenants.anonymous.get(f"http://testserver{path}", headers={"Referer": f"http://testserver{path}"})
    assert said in [record.getMessage() for record in caplog.records]
    for record in caplog.records:
        if not record.name.startswith("httpx"):
            told: Any = record.__dict__ | {"message": record.getMessage()}
            assert "very-secret" not in str(told)
