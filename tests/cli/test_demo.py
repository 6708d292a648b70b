"""`tenantry demo`: something to look at, once more without harm, never in production."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from host.cli.demo import filled


class Thing(BaseModel):
    name: str = Field(max_length=5)
    size: int = Field(ge=3)
    email: str
    note: str = ""


def test_body_when_filled_then_is_what_the_model_takes() -> None:
    body = filled(Thing, 1)
    assert Thing.model_validate(body).name
    assert "note" not in body
    assert filled(None, 1) == {}


def test_demo_when_run_twice_then_fills_two_tenants_and_asks_before_the_second_time(project) -> None:
    assert project("demo", "--dry-run")["operations"]
    first = project("demo")
    assert set(first["tenants"]) == {"demo-acme", "demo-globex"}
    assert all(sum(made.values()) > 0 for made in first["tenants"].values())
    assert first["password"]
    assert project("demo", code=1)["code"] == "NOT_CONFIRMED"
    again = project("demo", "--yes")
    assert again["password"] is None
    project("verify", "isolation")


def test_demo_when_in_production_then_refuses(project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_APP__ENVIRONMENT", "production")
    monkeypatch.setenv("TENANTRY_IDENTITY__SECRET", "k" * 40)
    assert project("demo", code=1)["code"] == "REFUSED"
