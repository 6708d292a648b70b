"""The migrations on a table that is filled already: nothing is lost, and everything written before can be found."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from host.data.migrations import Migrations
from host.testing import TestApplication
from tenants.models import Tenant
from tests.plugins.audit.conftest import Log

OLD = (
    *("id", "tenant_id", "at", "actor_kind", "actor_label", "action", "resource_type", "resource_id", "before"),
    *("after", "outcome", "reason", "address", "user_agent", "request_id"),
)


async def test_entries_when_written_before_the_upgrade_then_kept_found_sealed_and_whole(app_settings: Any) -> None:
    async with TestApplication.open(app_settings) as application:
        with application.inner.bound():
            tenant = await application.inner.provisioning.create("Acme", slug="acme")
        log = Log(application, tenant.id)
        await Migrations(application.inner.services.database).downgrade("audit", "0001_initial")
        await log.attack("DELETE FROM audit_entries")
        marks = ", ".join(f"${number}" for number in range(1, len(OLD) + 1))
        names = ", ".join(f'"{name}"' for name in OLD)
        for number in range(30):
            values = ("user", "ada@acme.example", "projects.tasks.update", "task", f"task-{number}", "{}")
            rest = ('{"title": "Umlaut ü"}', "succeeded", "", "10.0.0.1", "Browser", "r")
            head = (str(uuid7()), str(tenant.id), f"2026-03-04 05:06:{number:02}+00:00")
            await log.attack(
                f"INSERT INTO audit_entries ({names}) VALUES ({marks})", *_typed(application, head), *values, *rest
            )
        await Migrations(application.inner.services.database).migrate()
        assert await log.seal() == 30
        verdict = await log.verify()
        assert (verdict.ok, verdict.checked) == (True, 30)
        with log.bound():
            from plugins.audit.service import ENTRIES

            page = await ENTRIES.page(ENTRIES.parse({"q": "umlaut ü", "limit": "100"}))
        assert [row["resource_id"] for row in page.items] == [f"task-{number}" for number in range(29, -1, -1)]
        with application.inner.bound():
            assert await Tenant.filter(slug="acme").exists()
        await Migrations(application.inner.services.database).downgrade("audit", "0001_initial")
        assert len(await log.attack("SELECT id FROM audit_entries")) == 30


def _typed(application: TestApplication, head: tuple[str, str, str]) -> tuple[object, ...]:
    if application.inner.services.database.dialect == "sqlite":
        return head
    from datetime import datetime

    return UUID(head[0]), UUID(head[1]), datetime.fromisoformat(head[2])


async def test_search_view_when_its_tenant_condition_is_gone_then_the_host_says_so(
    app_settings: Any, backend: str
) -> None:
    import pytest

    from host.data import rls

    if backend == "sqlite":
        pytest.skip("SQLite has no such view")
    async with TestApplication.open(app_settings) as application:
        log = Log(application, uuid4())
        assert await rls.check(application.inner.services.database) == []
        await log.attack("DROP VIEW audit_entries_search")
        await log.attack("CREATE VIEW audit_entries_search AS SELECT * FROM audit_entries")
        [gap] = await rls.check(application.inner.services.database)
        assert "audit_entries_search shows rows of every tenant" in gap
