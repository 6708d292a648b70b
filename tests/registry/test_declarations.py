from __future__ import annotations

import pytest

from host.contracts import Subscription
from host.registry.declarations import collect
from host.registry.kinds import (
    COMMANDS,
    EVENTS,
    HEALTH_CHECKS,
    LIMITS,
    LISTENERS,
    METRICS,
    PERMISSIONS,
    ROUTES,
    TASKS,
    TENANT_SETTINGS,
)
from host.registry.loading import implementations, new_plugin_manager, register

READING = "@hookimpl\ndef register_permissions(): return [Permission('notes.notes.read', 'x')]\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def register_routes(): raise ValueError('no')", "register_routes: it raised ValueError: no"),
        ("def register_routes(): sys.exit(1)", "register_routes: it called sys.exit(1)"),
        ("def register_routes(): return None", "register_routes must return a list of Route, not None"),
        ("def register_routes(): return [3]", "register_routes must return a list of Route; it holds 3"),
        ("def register_limits(): return {'a': 1}", "register_limits must return a list of Limit"),
        ("def register_models(): return [int]", "register_models must return a list of model classes"),
        ("def register_settings(): return 3", "register_settings must return a pydantic model class, not 3"),
        ("def register_tenant_settings(): return BaseModel", "must return a pydantic model class"),
    ],
)
def test_load_when_register_hook_fails_then_quarantined_and_strict_refuses(tree, source, said):
    tree.add("notes", READING + "@hookimpl\n" + source)
    registry = tree.load()
    assert said in registry.quarantine.reason("notes")
    assert list(registry.catalog.named(PERMISSIONS)) == ["notes.notes.read"]  # what the other hooks said is kept
    assert said in tree.refusal(strict=True)


def test_load_when_register_hook_fails_then_its_routes_stay_to_answer_503(tree):
    route = "Route('GET', '/notes', handler, 'notes.list', 'x', permission='notes.notes.read')"
    tree.add(
        "notes",
        f"@hookimpl\ndef register_routes(): return [{route}]\n@hookimpl\ndef register_permissions(): raise ValueError",
    )
    registry = tree.load()
    assert [(owner, one.path) for owner, one in registry.catalog.all(ROUTES)] == [("notes", "/notes")]
    assert "notes" in registry.quarantine


def test_load_when_permission_and_limit_are_declared_with_routes_then_each_is_registered_once(tree):
    tree.add(
        "notes",
        """
        READ = Permission("notes.notes.read", "See notes", roles=("viewer",))
        MANY = Limit("notes.notes", "quota", "x", default="20")
        @hookimpl
        def register_routes():
            return [Route("GET", path, handler, path[1:] + ".list", "x", permission=READ.name, declares=(READ, MANY))
                for path in ("/notes", "/letters")]
        """,
    )
    catalog = tree.load(strict=True).catalog
    assert catalog.owners(PERMISSIONS) == {"notes.notes.read": "notes"}
    assert catalog.owners(LIMITS) == {"notes.notes": "notes"}
    assert catalog.role_permissions == {"viewer": frozenset({"notes.notes.read"})}


def test_collect_when_register_hook_hangs_then_reason():
    import time

    from host.hookspecs import hookimpl

    class Slow:
        @hookimpl
        def register_routes(self):
            time.sleep(0.5)
            return []

    manager = new_plugin_manager()
    assert register(manager, "slow", Slow()) == []
    declared, reasons = collect("slow", implementations(manager, ["slow"]), seconds=0.05)
    assert not declared.complete
    assert reasons == ("register_routes: it did not return within 0.05 seconds",)


def test_load_when_everything_is_declared_then_catalog_holds_it_with_owners(tree):
    tree.add(
        "notes",
        """
        import click
        from datetime import timedelta
        from notes_models import Note
        class Settings(BaseModel): size: int = 3
        class Own(BaseModel): colour: str = "red"
        class NoteKept(Event): pass
        async def number(): return []
        @hookimpl
        def register_routes(): return iter([Route("GET", "/notes", handler, "notes.list", "x", signed_in=True)])
        @hookimpl
        def register_models(): return [Note]
        @hookimpl
        def register_settings(): return Settings
        @hookimpl
        def register_tenant_settings(): return Own
        @hookimpl
        def register_permissions(): return [Permission("notes.notes.read", "x")]
        @hookimpl
        def register_limits(): return [Limit("notes.notes", "quota", "x", default="20")]
        @hookimpl
        def register_tasks(): return [Task("sweep", handler, "x", every=timedelta(hours=1))]
        @hookimpl
        def register_events(): return [EventType(NoteKept, "x")]
        @hookimpl
        def register_listeners():
            return [Subscription("notes.NoteKept", handler), Subscription("absent.Thing", handler)]
        @hookimpl
        def register_commands(): return [click.Command("count")]
        @hookimpl
        def register_health_checks(): return [HealthCheck("disk", handler)]
        @hookimpl
        def register_metrics(): return [Metric("tenantry_notes_kept", "gauge", "x", ("kind",), number)]
        """,
    )
    (tree.root / "notes_models.py").write_text(
        "from tortoise import fields\nfrom tenants.scoping import TenantModel\n"
        "class Note(TenantModel):\n    class Meta:\n        table = 'notes_notes'\n"
    )
    registry = tree.load(strict=True)
    catalog = registry.catalog
    assert [(owner, route.path) for owner, route in catalog.all(ROUTES)] == [("notes", "/notes")]
    assert registry.model_modules == {"notes": ("notes_models",)}
    assert registry.settings["notes"].size == 3
    assert registry.plugin("notes").settings.size == 3
    assert catalog.of("notes", TENANT_SETTINGS)[0].__name__ == "Own"
    assert (catalog.owners(PERMISSIONS), catalog.owners(LIMITS)) == (
        {"notes.notes.read": "notes"},
        {"notes.notes": "notes"},
    )
    assert list(catalog.named(TASKS)) == ["notes.sweep"]
    assert list(catalog.named(EVENTS)) == ["notes.NoteKept"]
    handler = tree.module("notes.plugin").handler
    assert catalog.all(LISTENERS) == tuple(
        ("notes", Subscription(event, handler)) for event in ("notes.NoteKept", "absent.Thing")
    )
    assert [(owner, item.name) for owner, item in catalog.all(COMMANDS)] == [("notes", "count")]
    assert [item.name for _, item in catalog.all(HEALTH_CHECKS)] == ["disk"]
    assert [item.name for _, item in catalog.all(METRICS)] == ["tenantry_notes_kept"]


def test_load_when_several_plugins_hear_an_event_then_all_are_kept_in_load_order(tree):
    listening = "@hookimpl\ndef register_listeners(): return [Subscription('absent.Thing', handler)]"
    tree.add("tags", listening, requires={"notes": "*"})
    tree.add("notes", listening)
    heard = tree.load().catalog.all(LISTENERS)
    assert [owner for owner, _ in heard] == ["notes", "tags"]
