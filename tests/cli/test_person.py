"""`tenantry person`: what is held of somebody, listed and erased from the command line."""

from __future__ import annotations


def test_person_when_erased_then_was_listed_first_and_nothing_is_left(tenantry) -> None:
    address = "lead@example.com"
    assert tenantry("person", "show", address) == []
    tenantry("tenant", "create", f"For {address}", "--slug", "for-somebody")
    [held] = tenantry("person", "show", "Lead@Example.com")
    assert (held["kind"], held["rows"]) == ("tenants", 1)
    dry = tenantry("person", "erase", address, "--reason", "asked", "--dry-run")
    assert [each["kind"] for each in dry] == ["tenants"]
    refused = tenantry.run("person", "erase", address, "--reason", "asked", typed="n\n")
    assert refused.exit_code != 0
    erased = tenantry("person", "erase", address, "--reason", f"{address} asked", "--yes")
    assert [each["kind"] for each in erased] == ["tenants"]
    assert tenantry("person", "show", address) == []
    [named] = [row["name"] for row in tenantry("tenant", "list") if row["slug"] == "for-somebody"]
    assert named.startswith("For erased-")


def test_person_when_unknown_or_no_address_then_said_so(tenantry) -> None:
    assert tenantry("person", "show", "no address", code=1)["code"] == "VALIDATION_ERROR"
    assert tenantry("person", "show", "6f1c0e58-0000-7000-8000-000000000001") == []
