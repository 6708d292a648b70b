"""`tenantry doctor`: well when all is well, and a fix for each thing that is not."""

from __future__ import annotations

import asyncio

import pytest

from host.cli.open_application import opened
from host.data import migrations
from host.identity.accounts import ensure_operator


def whats(document) -> str:
    return " ".join(finding["what"] for finding in document["findings"])


async def make_operator() -> None:
    async with opened():
        await ensure_operator("anna@example.com", "a-long-enough-password-of-anna")


def test_doctor_when_all_is_well_then_says_so(tenantry) -> None:
    assert "operator" in whats(tenantry("doctor", code=1))
    asyncio.run(make_operator())
    assert tenantry("doctor")["findings"] == []


def test_doctor_when_migrations_are_pending_then_says_so(project) -> None:
    findings = project("doctor", code=1)["findings"]
    assert any("pending" in finding["what"] and "tenantry migrate" in finding["fix"] for finding in findings)


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("REDIS_URL", "redis://127.0.0.1:1/0", "Redis"),
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/x", "database"),
        ("TENANTRY_SERVER__PROT", "1", "configuration"),
    ],
)
def test_doctor_when_a_part_is_away_then_names_it_and_goes_on(
    tenantry, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, part: str
) -> None:
    monkeypatch.setenv(variable, value)
    findings = tenantry("doctor", code=1)["findings"]
    assert part in {finding["part"] for finding in findings}
    assert all(finding["fix"] for finding in findings if finding["part"] != "configuration")


def test_doctor_when_production_is_half_done_then_says_what_is_missing(
    tenantry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_APP__ENVIRONMENT", "production")
    assert "TENANTRY_IDENTITY__SECRET" in whats(tenantry("doctor", code=1))
    monkeypatch.setenv("TENANTRY_IDENTITY__SECRET", "k" * 40)
    told = whats(tenantry("doctor", code=1))
    assert ("database is the embedded one" in told) is (tenantry.database_url == "")
    assert "Redis is the embedded one" in told
    assert "https" in told
    assert ("one login owns the tables" in told) is (tenantry.database_url != "")
    assert "TENANTRY_MAIL__PROVIDERS" in told
    monkeypatch.setenv("TENANTRY_MAIL__PROVIDERS", "smtp")
    monkeypatch.setenv("TENANTRY_MAIL__SMTP__HOST", "127.0.0.1")
    monkeypatch.setenv("TENANTRY_MAIL__SMTP__PORT", "1")
    told = whats(tenantry("doctor", code=1))
    assert "TENANTRY_MAIL__FROM_ADDRESS" in told
    assert "smtp: " in told  # nobody listens there
    monkeypatch.setenv("TENANTRY_MAIL__FROM_ADDRESS", "no-reply@acme.example")
    assert "TENANTRY_MAIL" not in whats(tenantry("doctor", code=1))


def test_doctor_when_models_say_what_no_migration_does_then_named_and_migrate_says_so_too(
    tenantry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drifted(database: object) -> dict[str, list[str]]:
        return {"projects": ["Add field colour to Project"]}

    monkeypatch.setattr(migrations, "unmade", drifted)
    [finding] = [each for each in tenantry("doctor", code=1)["findings"] if "colour" in each["what"]]
    assert finding["fix"] == "`tenantry migrate --make projects`"
    assert "colour" in tenantry.run("migrate").output
