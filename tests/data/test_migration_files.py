"""Migration files: those of the host are up to date, and hold nothing that the code may change freely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from host.core_plugin import APPS, MIGRATIONS
from host.data import rls
from host.data.migration_files import make
from host.data.migrations import Migrations
from tenants.context import bind
from tenants.models import Role, Tenant

ROOT = Path(__file__).parents[2]


async def test_migrations_of_the_host_when_run_then_they_make_what_the_models_say(new_database: Any) -> None:
    database = await new_database(APPS, MIGRATIONS)
    assert await rls.check(database) == []
    assert await Migrations(database).pending() == []
    with database.bind():
        tenant = await Tenant.create(slug="acme", name="Acme", plan="free")
        with bind(tenant.id):
            role = await Role.create(name="owner", all_permission=True)
            assert await Role.get() == role


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("app", MIGRATIONS)
async def test_migrations_of_the_host_when_made_again_then_nothing_is_left_to_say(new_database: Any, app: str) -> None:
    database = await new_database(APPS, MIGRATIONS)
    path = await make(database, app)
    if path is not None:
        text = path.read_text()
        path.unlink()
        pytest.fail(f"the models of {app} have changed: run `tenantry migrate --make {app}`; it would write\n{text}")


@pytest.mark.parametrize("package", ["tenants", "host"])
def test_migration_files_when_read_then_they_import_nothing_of_ours(package: str) -> None:
    for path in (ROOT / package / "migrations").glob("0*.py"):
        lines = path.read_text().splitlines()
        assert not [
            line for line in lines if line.startswith(("from tenants", "from host", "import tenants", "import host"))
        ]
