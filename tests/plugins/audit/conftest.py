"""The log of a tenant, as the plugin itself sees it and as somebody who can write the database does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from host.contracts import Action, Actor, Origin
from host.execution_context import as_plugin
from host.services import unit_of_work
from host.testing import TestApplication, TwoTenants
from plugins.audit import sealing, service
from plugins.audit.verification import Verdict, verify
from tenants.context import bind


@dataclass(frozen=True)
class Log:
    """One tenant's log."""

    application: TestApplication
    tenant_id: UUID

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Stand in the tenant, inside the plugin."""
        with self.application.inner.bound(), bind(self.tenant_id), as_plugin("audit"):
            yield

    async def write(self, count: int = 1, **given: Any) -> None:
        """Write entries as actions would."""
        with self.bound():
            for number in range(count):
                async with unit_of_work():
                    await service.write(self.action(number, **given))

    def action(self, number: int = 0, **given: Any) -> Action:
        origin = Origin(f"request-{number}", Actor("user", uuid4(), "ada@acme.example"), "10.0.0.1", "Browser/1.0")
        values: dict[str, Any] = {
            "name": "projects.tasks.update",
            "resource_type": "task",
            "resource_id": str(uuid4()),
            "outcome": "succeeded",
            "before": {"title": f"Task {number}"},
            "after": {"title": f"Tasks {number}", "estimate": 1e16, "share": 0.1, "loss": -0.0},
            "origin": origin,
            "at": datetime.now(UTC),
            "tenant_id": self.tenant_id,
        }
        return Action(**(values | given))

    async def seal(self) -> int:
        with self.bound():
            return await sealing.seal()

    async def verify(self, **options: Any) -> Verdict:
        with self.bound():
            return await verify(**options)

    async def rows(self, condition: str = "true") -> Sequence[dict[str, Any]]:
        """Stored entries, by position."""
        sql = f"SELECT * FROM audit_entries WHERE tenant_id = $1 AND {condition} ORDER BY position"
        return await self.attack(sql, str(self.tenant_id))

    async def put_back(self, rows: Sequence[dict[str, Any]]) -> None:
        """Make entries what they once were, and what was inserted go."""
        ids = ", ".join(f"'{row['id']}'" for row in rows)
        names = [name for name in rows[0] if name != "words"]
        marks = ", ".join(f"${number}" for number in range(1, len(names) + 1))
        quoted = ", ".join(f'"{name}"' for name in names)
        database = self.application.inner.services.database
        insert = f"INSERT INTO audit_entries ({quoted}) VALUES ({marks})"
        async with database.owner() as client:
            await client.execute_script(f"DELETE FROM audit_entries WHERE id IN ({ids}) OR resource_id = 'forged'")
            insert = insert if database.dialect == "postgres" else insert.replace("$", "?")
            await client.execute_many(insert, [[row[name] for name in names] for row in rows])

    async def attack(self, sql: str, *values: object) -> Sequence[dict[str, Any]]:
        """Run a statement as somebody who has the tables' owner's login."""
        database = self.application.inner.services.database
        if database.dialect == "sqlite":
            sql = sql.replace("$", "?")
        async with database.owner() as client:
            rows: Sequence[dict[str, Any]] = await client.execute_query_dict(sql, list(values))
            return rows


@pytest.fixture
def log(two_tenants: TwoTenants) -> Log:
    """The log of the first tenant."""
    assert two_tenants.acme.tenant_id is not None
    return Log(two_tenants.application, two_tenants.acme.tenant_id)
