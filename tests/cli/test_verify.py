"""`tenantry verify`: says that all is well only when it is."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from host import core_plugin
from host.cli.open_application import opened, with_database
from host.contracts import Route
from host.hookspecs import hookimpl
from host.web.admission.admission import Admission
from host.web.routes import Routes


def found(document) -> list[str]:
    return [finding["what"] for finding in document["findings"]]


async def redis(*command: str) -> None:
    async with opened() as application:
        await application.services.redis_client.call(*command)


def test_isolation_when_row_level_security_is_whole_then_is_proven(tenantry) -> None:
    assert "roles" in tenantry("verify", "isolation")["tables"]


def test_isolation_when_a_policy_is_gone_then_fails_and_migrate_mends_it(tenantry) -> None:
    asyncio.run(drop_a_policy())
    findings = tenantry("verify", "isolation", code=1)["findings"]
    assert findings
    assert all("tenantry migrate" in finding["fix"] for finding in findings)
    tenantry("migrate")
    tenantry("verify", "isolation")


async def drop_a_policy() -> None:
    async with with_database() as application:
        if application.services.database.dialect == "postgres":
            sql = "ALTER TABLE memberships DISABLE ROW LEVEL SECURITY"
        else:
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'isolation%' ORDER BY name"
            sql = f'DROP TRIGGER "{(await application.services.database.fetch(triggers))[0]["name"]}"'
        async with application.services.database.owner() as client:
            await client.execute_script(sql)


def test_gates_when_all_refuse_then_are_proven(tenantry) -> None:
    assert tenantry("verify", "gates")["routes"] > 20


def test_gates_when_one_lets_anybody_in_then_fails(tenantry, monkeypatch) -> None:
    routes = Routes()

    @routes.get("/open", signed_in=True, needs_tenant=False, name="open.read", summary="Open to anybody")
    async def read_open() -> dict[str, bool]:
        return {"open": True}

    registered, admit = core_plugin.register_routes, Admission.admit

    async def careless(self: Admission, route: Route, *rest: Any) -> None:
        if route.path != "/open":
            await admit(self, route, *rest)

    monkeypatch.setattr(core_plugin, "register_routes", hookimpl(lambda: [*registered(), *routes]))
    monkeypatch.setattr(Admission, "admit", careless)
    assert [what for what in found(tenantry("verify", "gates", code=1)) if "/open" in what]


def test_keys_when_one_is_nobodys_then_fails(tenantry) -> None:
    tenantry("verify", "keys")
    stray = f"t:{uuid4()}:host:left"
    asyncio.run(redis("SET", "stray", "1"))
    asyncio.run(redis("SET", stray, "1"))
    whats = found(tenantry("verify", "keys", code=1))
    assert len(whats) == 2
    assert any("stray" in what for what in whats)
    assert any("gone" in what for what in whats)
    asyncio.run(redis("DEL", "stray", stray))
    tenantry("verify", "keys")
