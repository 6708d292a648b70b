"""`tenantry limits`: a tenant's own values, and counters put right."""

from __future__ import annotations

import pytest


@pytest.fixture
def slug(tenantry, request: pytest.FixtureRequest) -> str:
    name = f"limits {abs(hash(request.node.name)) % 10_000}"
    return tenantry("tenant", "create", name, "--plan", "free")["slug"]


def row(tenantry, slug: str, limit: str = "tenant.members"):
    return next(each for each in tenantry("limits", "show", slug) if each["limit"] == limit)


def test_limit_when_set_and_unset_then_wins_over_the_plan_and_gives_way_again(tenantry, slug: str) -> None:
    before = row(tenantry, slug)
    assert before["from"] == "plan"
    told = tenantry("limits", "set", slug, "tenant.members", "77")
    assert (told["value"], told["from"]) == ("77", "tenant")
    assert row(tenantry, slug)["value"] == "77"
    tenantry("limits", "unset", slug, "tenant.members")
    assert row(tenantry, slug) == before


def test_limit_when_set_dry_then_stays(tenantry, slug: str) -> None:
    tenantry("limits", "set", slug, "tenant.members", "77", "--dry-run")
    assert row(tenantry, slug)["from"] == "plan"


def test_limit_when_wrong_then_the_complaint_helps(tenantry, slug: str) -> None:
    assert "tenant.members" in tenantry("limits", "set", slug, "tenant.membres", "7", code=1)["fix"]
    assert tenantry("limits", "set", slug, "tenant.members", "many", code=1)["code"] == "VALIDATION_ERROR"


def test_quota_when_reconciled_then_counts_what_is_true(tenantry, slug: str) -> None:
    assert tenantry("limits", "reconcile", slug, "mail.monthly", "3", code=1)["code"] == "NOT_CONFIRMED"
    tenantry("limits", "reconcile", slug, "mail.monthly", "3", "--dry-run")
    assert row(tenantry, slug, "mail.monthly")["used"] == 0
    assert tenantry("limits", "reconcile", slug, "mail.monthly", "3", "--yes")["used"] == 3
    assert row(tenantry, slug, "mail.monthly")["used"] == 3


def test_quota_when_it_counts_rows_then_there_is_nothing_to_reconcile_and_no_period(tenantry, slug: str) -> None:
    refused = tenantry("limits", "reconcile", slug, "tenant.members", "3", "--yes", code=1)
    assert "always right" in refused["message"]
    assert tenantry("limits", "set", slug, "tenant.members", "5/month", code=1)["code"] == "VALIDATION_ERROR"
