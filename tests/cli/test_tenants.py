"""`tenantry tenant`, from creating an organisation to its last row."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from host.cli.open_application import opened, with_database
from host.services import unit_of_work
from plugins.projects.models import Project
from tenants.context import bind
from tenants.models import Tenant


def test_tenant_when_created_then_is_listed_with_its_plan(tenantry) -> None:
    made = tenantry("tenant", "create", "Initech", "--plan", "pro")
    assert (made["slug"], made["plan"], made["status"]) == ("initech", "pro", "active")
    assert made["slug"] in [row["slug"] for row in tenantry("tenant", "list", "--plan", "pro")]
    assert made["slug"] not in [row["slug"] for row in tenantry("tenant", "list", "--plan", "free")]
    shown = tenantry.run("tenant", "list")
    assert "initech" in shown.output


def test_tenant_when_its_slug_is_taken_or_reserved_then_says_so(tenantry) -> None:
    tenantry("tenant", "create", "Twice", "--slug", "twice")
    assert tenantry("tenant", "create", "Twice", "--slug", "twice", code=1)["code"] == "CONFLICT"
    error = tenantry("tenant", "create", "Admin", "--slug", "admin", code=1)
    assert error["code"] == "VALIDATION_ERROR"
    assert "slug" in error["message"]


def test_tenant_when_created_dry_then_is_not_there(tenantry) -> None:
    tenantry("tenant", "create", "Phantom", "--slug", "phantom", "--dry-run")
    assert "phantom" not in [row["slug"] for row in tenantry("tenant", "list")]


def test_tenant_when_its_owner_is_unknown_then_says_what_to_do(tenantry) -> None:
    error = tenantry("tenant", "create", "Orphan", "--owner", "nobody@example.com", code=1)
    assert "nobody@example.com" in error["message"]
    assert "register" in error["fix"]


def test_owner_when_appointed_then_owns_it_and_only_with_a_proven_address(tenantry) -> None:
    tenantry("tenant", "create", "Headless", "--slug", "headless")
    assert "register" in tenantry("tenant", "owner", "headless", "--email", "nobody@example.com", code=1)["fix"]
    tenantry("demo", "--yes")  # makes a person whose address is proven
    tenantry("tenant", "owner", "headless", "--email", "demo@tenantry.local", "--dry-run")
    told = tenantry("tenant", "owner", "headless", "--email", "Demo@Tenantry.local")
    assert (told["email"], told["role"]) == ("demo@tenantry.local", "owner")
    assert tenantry("tenant", "owner", "headless", "--email", "demo@tenantry.local")["role"] == "owner"


def test_tenant_when_suspended_then_needs_a_yes_and_can_be_resumed(tenantry) -> None:
    tenantry("tenant", "create", "Late", "--slug", "late")
    assert tenantry("tenant", "suspend", "late", "--reason", "unpaid", code=1)["code"] == "NOT_CONFIRMED"
    tenantry("tenant", "suspend", "late", "--reason", "unpaid", "--dry-run")
    assert tenantry("tenant", "list", "--status", "suspended") == []
    suspended = tenantry("tenant", "suspend", "late", "--reason", "unpaid", "--yes")
    assert (suspended["status"], suspended["status_reason"]) == ("suspended", "unpaid")
    assert tenantry("tenant", "resume", "late")["status"] == "active"


def test_tenant_when_its_plan_changes_then_has_it_and_an_unknown_one_is_refused(tenantry) -> None:
    tenantry("tenant", "create", "Grower", "--slug", "grower")
    pinned = tenantry("tenant", "plan", "grower", "pro", "--why", "A promise of sales.")
    assert (pinned["plan"], pinned["plan_pinned"], pinned["plan_why"]) == ("pro", True, "A promise of sales.")
    for options in (("--unpin", "--dry-run"), ("--unpin",)):
        lifted = tenantry("tenant", "plan", "grower", *options)
        assert (lifted["plan"], lifted["plan_pinned"]) == ("pro", "--dry-run" in options)
    for arguments in ((), ("pro", "--unpin")):
        error = tenantry("tenant", "plan", "grower", *arguments, code=1)
        assert error["message"] == "give either a plan or --unpin"
    assert "free" in tenantry("tenant", "plan", "grower", "gold", code=1)["fix"]


def test_tenant_when_unknown_then_the_complaint_names_the_way_to_the_list(tenantry) -> None:
    error = tenantry("tenant", "plan", "nowhere", "pro", code=1)
    assert error["code"] == "NOT_FOUND"
    assert "tenantry tenant list" in error["fix"]


def test_tenant_when_exported_then_the_archive_holds_its_rows_and_no_secret(tenantry, tmp_path: Path) -> None:
    made = tenantry("tenant", "create", "Mover", "--slug", "mover")
    tenantry("tenant", "create", "Stayer", "--slug", "stayer")
    target = tmp_path / "mover.zip"
    told = tenantry("tenant", "export", "mover", "--to", str(target))
    with zipfile.ZipFile(target) as archive:
        summary = json.loads(archive.read("export.json"))
        roles = [json.loads(line) for line in archive.read("tables/roles.jsonl").splitlines()]
    assert summary["tenant"]["slug"] == "mover"
    assert summary["tables"] == told["tables"]
    assert len(roles) == told["tables"]["roles"] >= 4
    assert {row["tenant_id"] for row in roles} == {made["id"]}
    assert not [key for row in roles for key in row if "hash" in key]
    assert [file.name for file in tmp_path.iterdir()] == ["mover.zip"]


def test_tenant_when_deleted_then_waits_out_its_grace_unless_purged(tenantry) -> None:
    tenantry("tenant", "create", "Leaver", "--slug", "leaver")
    assert tenantry("tenant", "delete", "leaver", "--dry-run")["rows"]["roles"] >= 4
    closed = tenantry("tenant", "delete", "leaver", "--yes")
    assert closed["status"] == "deleting"
    assert closed["delete_after"]
    purged = tenantry("tenant", "delete", "leaver", "--purge", "--yes")
    assert purged["purged"] is True
    assert "leaver" not in [row["slug"] for row in tenantry("tenant", "list")]


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_tenant_when_nobody_says_yes_then_stays(tenantry, answer: str) -> None:
    tenantry("tenant", "create", "Keeper")
    refused = tenantry.run("tenant", "delete", "keeper", typed=answer)
    assert refused.exit_code == 1
    assert "keeper" in [row["slug"] for row in tenantry("tenant", "list", "--status", "active")]


async def _with_a_project(slug: str) -> None:
    async with opened():
        tenant = await Tenant.get(slug=slug)
        with bind(tenant.id):
            await Project.create(name="Apollo", slug="apollo")
            async with unit_of_work() as work:
                await work.enqueue("host.sweep")


async def _as_owner(sql: str) -> list[dict[str, object]]:
    async with with_database() as application, application.services.database.owner() as client:
        return await client.execute_query_dict(sql)


@pytest.fixture
def without_projects(tenantry) -> Iterator[Callable[[], None]]:
    """Takes the plugin out of plugins.toml, and puts it back."""
    file = tenantry.folder / "plugins.toml"
    before = file.read_text()
    yield lambda: file.write_text(before.replace('[projects]\ndefault = "on"\n', ""))
    file.write_text(before)


def test_tenant_when_a_plugin_with_rows_of_it_is_taken_out_then_exported_and_purged_whole(
    tenantry, without_projects, tmp_path: Path
) -> None:
    for slug in ("mover-out", "stayer-in"):
        tenantry("tenant", "create", slug, "--slug", slug)
        asyncio.run(_with_a_project(slug))
    without_projects()
    target = tmp_path / "mover.zip"
    told = tenantry("tenant", "export", "mover-out", "--to", str(target))
    assert (told["tables"]["projects_projects"], told["tables"]["jobs"] >= 1) == (1, True)
    with zipfile.ZipFile(target) as archive:
        [row] = [json.loads(line) for line in archive.read("tables/projects_projects.jsonl").splitlines()]
    assert row["name"] == "Apollo"
    assert tenantry("tenant", "delete", "mover-out", "--dry-run")["rows"]["projects_projects"] == 1
    tenantry("tenant", "delete", "mover-out", "--purge", "--yes")
    owners = "SELECT t.slug FROM projects_projects p LEFT JOIN tenants t ON t.id = p.tenant_id"
    left = {each["slug"] for each in asyncio.run(_as_owner(owners))}
    assert "stayer-in" in left
    assert left.isdisjoint({"mover-out", None}), "rows of the purged organisation are left"
    tenantry("verify", "isolation")


def test_tenant_when_a_table_of_its_rows_is_out_of_reach_then_named_and_nothing_removed(
    tenantry, tmp_path: Path
) -> None:
    if not tenantry.database_url:
        pytest.skip("one login does everything in SQLite")
    tenant = tenantry("tenant", "create", "Guesthouse", "--slug", "guesthouse")["id"]
    asyncio.run(_as_owner("CREATE TABLE guests (id serial PRIMARY KEY, tenant_id uuid, name text)"))
    asyncio.run(_as_owner(f"INSERT INTO guests (tenant_id, name) VALUES ('{tenant}', 'Ada')"))
    exporting = ("export", "guesthouse", "--to", str(tmp_path / "x.zip"))
    for command in (exporting, ("delete", "guesthouse", "--purge", "--yes")):
        assert "guests" in tenantry("tenant", *command, code=1)["message"]
    assert tenantry("tenant", "list", "--status", "active")
    asyncio.run(_as_owner("GRANT SELECT, DELETE ON guests TO tenantry_app"))
    assert any("guests" in each["what"] for each in tenantry("verify", "isolation", code=1)["findings"])
    tenantry("tenant", "delete", "guesthouse", "--purge", "--yes")
    assert asyncio.run(_as_owner("SELECT * FROM guests")) == []
    asyncio.run(_as_owner("DROP TABLE guests"))
