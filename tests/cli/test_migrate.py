"""`tenantry migrate`: up, shown, and one app down again."""

from __future__ import annotations

from pathlib import Path


def test_migrate_when_the_database_is_new_then_brings_it_up_once(project) -> None:
    assert project("tenant", "list", code=1)["code"] == "CONFIGURATION"
    sql = project("migrate", "--dry-run")["sql"]
    assert "CREATE TABLE" in sql
    steps = project("migrate")["steps"]
    assert "tenants.0001_initial" in steps
    assert project("migrate")["steps"] == []
    assert project("migrate", "--dry-run")["sql"] == ""
    assert project("tenant", "list") == []


def test_migrate_when_one_app_is_taken_back_then_only_its_tables_go(project) -> None:
    steps = project("migrate")["steps"]
    app = next(step.split(".")[0] for step in steps if step.split(".")[0] not in {"tenants", "host"})
    assert project("migrate", "--to", app, "zero", code=1)["code"] == "NOT_CONFIRMED"
    project("migrate", "--to", app, "zero", "--dry-run")
    assert project("migrate")["steps"] == []
    down = project("migrate", "--to", app, "zero", "--yes")["steps"]
    assert down
    assert {step.split(".")[0] for step in down} == {app}
    assert sorted(project("migrate")["steps"]) == sorted(down)
    assert "zero" in project("migrate", "--to", app, "nowhere", "--yes", code=1)["message"]


def test_migrate_when_no_model_changed_then_makes_nothing(project) -> None:
    file = project("migrate", "--make", "tenants")["file"]
    if file:
        Path(file).unlink()  # it is written into the sources
    assert file is None, "the models of tenants changed without a migration: `tenantry migrate --make tenants`"
