from __future__ import annotations

import pytest

from host.registry.kinds import PERMISSIONS


def returning(hook: str, items: str, before: str = "") -> str:
    return f"{before}\n@hookimpl\ndef {hook}(): return [{items}]\n"


def metric(arguments: str) -> str:
    return returning("register_metrics", f"Metric({arguments})")


def live_channel(arguments: str) -> str:
    return returning("register_live_channels", f"LiveChannel({arguments})")


def route(rest: str, path: str = "/x", name: str = "x.get") -> str:
    return returning("register_routes", f"Route('GET', '{path}', handler, '{name}', 'x', {rest})")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (route(""), "does not say who may call it; give it a permission, signed_in, operator or public"),
        (route("public=True, signed_in=True"), "exactly one of permission, signed_in, operator and public"),
        (route("public=True, any_tenant_state=True"), "goes with public=True and needs_tenant=False only"),
        (route("signed_in=True, needs_tenant=False, any_tenant_state=True"), "any_tenant_state is for people outside"),
        (
            route("permission='aa.things.raed'")
            + returning("register_permissions", "Permission('aa.things.read', 'x')"),
            'no one registers the permission "aa.things.raed"; did you mean "aa.things.read"?',
        ),
        (route("permission='absent.things.read'"), 'no one registers the permission "absent.things.read"'),
        (route("public=True, limits=('aa.things',)"), 'no one registers the limit "aa.things"'),
        (route("public=True", path="x"), 'the path must begin with "/"'),
        (route("public=True", path="/x/"), 'the path must begin with "/" and not end with one'),
        (route("public=True", path="/<uid:x>"), '"uid" is not a type of path parameter; did you mean "uuid"?'),
        (route("public=True", path="/<uuid:x>/<int:x>"), "a path parameter appears twice"),
        (route("public=True", path="/{x_id}/<"), "the path cannot be read"),
        (route("public=True", name="Get It"), 'the name must be like "projects.create"'),
        (
            returning("register_routes", "Route('GET', '/x', print, 'x', 'x', public=True)"),
            "the handler must be `async def`",
        ),
        (
            returning("register_permissions", "Permission('bb.things.read', 'x')"),
            '"bb.things.read" does not begin with its own id',
        ),
        (returning("register_permissions", "Permission('tenant.members.read', 'x')"), "does not begin with its own id"),
        (returning("register_permissions", "Permission('aa.read', 'x')"), "must be named <plugin>.<resource>.<action>"),
        (
            returning("register_limits", "Limit('bb.things', 'quota', 'x')"),
            '"bb.things" does not begin with its own id',
        ),
        (returning("register_limits", "Limit('things', 'quota', 'x')"), "must be named <plugin>.<what>"),
        (returning("register_limits", "Limit('aa.things', 'quote', 'x')"), "its kind must be"),
        (
            returning("register_limits", "Limit('aa.things', 'quota', 'x', default='lots')"),
            'limit "aa.things": default:',
        ),
        (
            returning("register_limits", "Limit('aa.things', 'rate', 'x', default='5')"),
            '"5" is no rate, it needs a fixed length of time',
        ),
        (
            returning("register_limits", "Limit('aa.things', 'value', 'x', default='5/minute')"),
            'has a length of time and "aa.things" is a plain value',
        ),
        (returning("register_tasks", "Task('Do it', handler, 'x')"), "must be one lower-case word"),
        (returning("register_tasks", "Task('sweep', print, 'x')"), "run must be `async def`"),
        (returning("register_tasks", "Task('sweep', handler, 'x', tries=0)"), "tries at least 1"),
        (live_channel("'aa', 'x'"), 'live channel "aa" must be named <plugin>.<what>'),
        (live_channel("'bb.lines', 'x'"), 'live channel "bb.lines" does not begin with its own id'),
        (live_channel("'aa.lines', 'x', history=0"), "history and seconds must be at least 1"),
        (live_channel("'aa.lines', 'x', may_follow=print"), "may_follow must be `async def`"),
        (route("public=True, returns=Events").replace("'GET'", "'POST'"), "only GET answers with Events"),
        (metric("'tenantry_aa_a-b_total', 'counter', 'x'"), "name and labels must be lower-case words"),
        (metric("'tenantry_things_total', 'counter', 'x'"), 'the name must begin with "tenantry_aa_"'),
        (metric("'tenantry_aa_things', 'meter', 'x'"), "its kind must be"),
        (metric("'tenantry_aa_things', 'counter', 'x'"), "a counter's name, and no other, ends in _total"),
        (metric("'tenantry_aa_total', 'gauge', 'x', (), handler"), "a counter's name, and no other, ends in _total"),
        (metric("'tenantry_aa_things_count', 'histogram', 'x'"), "its ending has a meaning of its own"),
        (metric("'tenantry_aa_total', 'counter', 'x', ('job',)"), "the label job is Prometheus' own"),
        (metric("'tenantry_aa_total', 'counter', 'x', ('kind', 'kind')"), "a label appears twice"),
        (metric("'tenantry_aa_things', 'gauge', 'x'"), "a gauge, and nothing else, has a function `read`"),
        (metric("'tenantry_aa_total', 'counter', 'x', (), handler"), "a gauge, and nothing else, has a function"),
        (metric("'tenantry_aa_things', 'gauge', 'x', (), print"), "must be `async def`"),
        (metric("'tenantry_aa_seconds', 'histogram', 'x', buckets=(2, 1)"), "its buckets must be given, and rise"),
        (
            returning("register_health_checks", "HealthCheck('ab', print)"),
            'health check "ab": its function must be `async def`',
        ),
        (returning("register_listeners", "Subscription('Kept', handler)"), 'must be "<plugin>.<ClassName>"'),
        (returning("register_listeners", "Subscription('absent.Kept', print)"), "must be `async def`"),
        (
            returning("register_listeners", "Subscription('aa.Kapt', handler)")
            + returning("register_events", "EventType(Kept, 'x')", "class Kept(Event): ..."),
            'no one announces the event "aa.Kapt"; did you mean "aa.Kept"?',
        ),
    ],
)
def test_load_when_declaration_is_invalid_then_refused_naming_plugin_and_thing(tree, source, said):
    tree.add("aa", source)
    text = tree.refusal()
    assert said in text
    assert 'plugin "aa":' in text


MODEL = """
class Thing({base}):
    id = fields.IntField(primary_key=True)
    {more}
    class Meta:
        table = "{table}"
        {meta}
"""


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"table": "things"}, 'its table "things" must begin with "aa_"; set Meta.table'),
        ({"table": "aa_things", "meta": "abstract = True"}, "model Thing is abstract"),
    ],
)
def test_load_when_model_does_not_fit_then_refused(tree, shape, said):
    before = MODEL.format(**{"base": "Model", "more": "", "meta": "", **shape})
    tree.add("aa", returning("register_models", "Thing", before))
    assert said in tree.refusal()


def test_load_when_model_beside_a_registered_one_is_forgotten_then_refused(tree):
    one = MODEL.format(base="Model", more="", meta="", table="aa_things")
    other = one.replace("Thing", "Other").replace("aa_things", "aa_others")
    tree.add("aa", returning("register_models", "Thing", one + other))
    assert "model Other in" in tree.refusal()
    assert "is not registered" in tree.refusal()


def test_load_when_named_things_belong_to_a_failed_plugin_then_not_called_invalid(tree):
    tree.add("bad", "raise ValueError")
    tree.add(
        "aa",
        route("permission='bad.things.read', limits=('bad.things',)")
        + returning("register_listeners", "Subscription('bad.Kept', handler)"),
    )
    registry = tree.load()
    assert [held.plugin for held in registry.quarantine] == ["bad"]


def test_load_when_route_uses_a_permission_of_the_host_then_taken(tree):
    from host.contracts import Permission
    from host.hookspecs import hookimpl

    class Application:
        @hookimpl
        def register_permissions(self):
            return [Permission("tenant.members.read", "x")]

    tree.add("aa", route("permission='tenant.members.read'"))
    registry = tree.load(host_plugin=Application())
    assert registry.catalog.owners(PERMISSIONS) == {"tenant.members.read": "host"}
