from __future__ import annotations

import pytest

from host.contracts import Route
from host.registry.checks import route_shape

ROUTE = "Route('GET', '{path}', handler, '{name}', 'x', signed_in=True)"


def returning(hook: str, items: str, before: str = "") -> str:
    return f"{before}\n@hookimpl\ndef {hook}(): return [{items}]\n"


def model(name: str, table: str) -> str:
    """A model whose class must come before the hook, in a module of its own plugin."""
    body = f"    id = fields.IntField(primary_key=True)\n    class Meta:\n        table = '{table}'\n"
    return f"class {name}(Model):\n{body}"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            returning("register_routes", ROUTE.format(path="/x/<uuid:a_id>", name="a.get")),
            returning("register_routes", ROUTE.format(path="/x/<uuid:b_id>", name="b.get")),
            'both declare the route "GET /x/<uuid>"; change path or method of one',
        ),
        (
            returning("register_models", "M", model("M", "aa_bb_things")),
            returning("register_models", "M", model("M", "aa_bb_things")),
            'both declare the table "aa_bb_things"; change Meta.table of one model',
        ),
        (
            returning("register_permissions", "Permission('aa.things.read', 'x')"),
            returning("register_permissions", "Permission('aa.things.read', 'x')"),
            'both declare the permission "aa.things.read"',
        ),
        (
            returning("register_limits", "Limit('aa.things', 'quota', 'x')"),
            returning("register_limits", "Limit('aa.things', 'quota', 'x')"),
            'both declare the limit "aa.things"',
        ),
        (
            returning("register_metrics", "Metric('tenantry_aa_bb_total', 'counter', 'x')"),
            returning("register_metrics", "Metric('tenantry_aa_bb_total', 'counter', 'x')"),
            'both declare the metric "tenantry_aa_bb_total"',
        ),
        (
            "from shared_settings import S\n@hookimpl\ndef register_settings(): return S",
            "from shared_settings import S\n@hookimpl\ndef register_settings(): return S",
            'both declare the settings model "shared_settings.S"; give each its own class',
        ),
    ],
)
def test_load_when_two_plugins_declare_the_same_then_refused_naming_both(tree, first, second, said):
    (tree.root / "shared_settings.py").write_text("from pydantic import BaseModel\nclass S(BaseModel): ...\n")
    tree.add("aa", first)
    tree.add("aa_bb", second)
    assert f'plugins "aa" and "aa_bb" {said}' in tree.refusal()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (returning("register_tasks", "Task('sweep', handler, 'x'), Task('sweep', handler, 'y')"), 'task "aa.sweep"'),
        (
            returning("register_events", "EventType(E, 'x'), EventType(E, 'y')", "class E(Event): ..."),
            'event "aa.E"',
        ),
        (
            returning(
                "register_routes", ROUTE.format(path="/x", name="x.get") + "," + ROUTE.format(path="/y", name="x.get")
            ),
            'route name "aa.x.get"',
        ),
        (returning("register_commands", "Command('c'), Command('c')"), 'command "aa c"'),
        (
            returning("register_health_checks", "HealthCheck('c', handler), HealthCheck('c', handler)"),
            'health check "aa.c"',
        ),
    ],
)
def test_load_when_one_plugin_declares_a_thing_twice_then_refused(tree, source, said):
    tree.add("aa", source)
    assert f'plugin "aa" declares the {said} twice' in tree.refusal()


def test_load_when_plugin_takes_a_route_of_the_host_then_both_are_named(tree):
    from host.hookspecs import hookimpl

    async def handler() -> None: ...

    class Application:
        @hookimpl
        def register_routes(self):
            return [Route("GET", "/tenant", handler, "tenant.get", "x", signed_in=True)]

    tree.add("aa", returning("register_routes", ROUTE.format(path="/tenant", name="t.get")))
    assert 'plugins "host" and "aa" both declare the route "GET /tenant"' in tree.refusal(host_plugin=Application())


def test_route_shape_when_parameters_differ_in_type_then_differs():
    async def handler() -> None: ...

    shapes = {
        route_shape(Route("GET", path, handler, "n", "s"))
        for path in ("/x/<a_id>", "/x/<string:b_id>", "/x/<str:c_id>", "/x/<int:a_id>", "/x/<uuid:a_id>")
    }
    assert shapes == {"GET /x/<string>", "GET /x/<int>", "GET /x/<uuid>"}


def test_model_when_it_is_no_tenant_model_then_refused_as_everybody_would_see_its_rows(tree):
    source = model("Thing", "alpha_things").replace("(Model)", "(PlainModel)")
    tree.add("alpha", f"{source}\n@hookimpl\ndef register_models(): return [Thing]")
    assert "no TenantModel" in tree.refusal()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('@hookimpl\ndef register_limits(): return [Limit("alpha.x", "quota", "X", default=3)]', "'alpha.x'"),
        ('@hookimpl\ndef register_tasks(): return [Task("x", handler, "X", every=3600)]', "'x'"),
        (
            '@hookimpl\ndef register_permissions(): return [Permission("alpha.x.read", "X", roles="admin")]',
            '("admin",)',
        ),
        ("def register_tasks(): return []", "@hookimpl"),
    ],
)
def test_declaration_when_mistyped_or_unmarked_then_the_plugin_and_the_thing_are_named(tree, source, told):
    tree.add("alpha", source)
    assert 'plugin "alpha"' in tree.refusal()
    assert told in tree.refusal()


def test_path_when_its_parameters_are_in_braces_then_refused_with_how_they_are_written(tree):
    tree.add(
        "alpha",
        '@hookimpl\ndef register_routes(): return [Route("GET", "/x/{id}", handler, "x.read", "X", signed_in=True)]',
    )
    assert "<uuid:project_id>" in tree.refusal()
