from __future__ import annotations

import pytest

from host.errors import ConfigurationError
from host.hookspecs import hookimpl
from host.registry.kinds import LIMITS, PERMISSIONS, ROUTES

READING = "@hookimpl\ndef register_permissions(): return [Permission('{0}.things.read', 'x')]\n"


def test_load_when_plugins_require_each_other_in_order_then_required_first_and_back_links(tree):
    tree.add("tags", requires={"notes": ">=1"})
    tree.add("notes", default="always", version="1.4")
    registry = tree.load()
    assert registry.ids == ("notes", "tags")
    notes, tags = registry.plugins
    assert (notes.required_by, notes.requires, tags.requires, notes.default) == (("tags",), (), ("notes",), "always")
    assert (notes.package, notes.source) == (f"{tree.package}.notes", "bundled")
    assert registry.plugin("absent") is None


def test_load_when_there_are_no_plugins_then_an_empty_catalog(tree):
    registry = tree.load(strict=True)
    assert (registry.plugins, registry.catalog.all(ROUTES), dict(registry.settings)) == ((), (), {})


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        ({"absent": "*"}, 'plugin "tags" requires "absent", which plugins.toml does not name'),
        ({"notes": ">=2"}, 'plugin "tags" requires "notes" >=2, but it is 1.0'),
    ],
)
def test_load_when_requirement_cannot_be_met_then_refused(tree, requires, said):
    tree.add("notes")
    tree.add("tags", requires=requires)
    assert said in tree.refusal()


def test_load_when_plugins_require_each_other_then_refused_naming_the_circle(tree):
    tree.add("notes", requires={"tags": "*"})
    tree.add("tags", requires={"notes": "*"})
    assert "notes -> tags -> notes" in tree.refusal()


def test_load_when_plugin_is_made_for_another_sdk_then_refused(tree):
    tree.add("notes", sdk=">=9")
    assert 'plugin "notes" is made for host.sdk >=9' in tree.refusal()


def test_load_when_several_things_are_wrong_then_all_are_listed(tree):
    tree.add("notes", "@hookimpl\ndef register_limits(): return [Limit('x.y', 'quota', 'x')]")
    tree.add("tags", "class S(BaseModel): ...\n@hookimpl\ndef register_settings(): return S")
    tree.want("[tags.settings]\nsize = 3")
    text = tree.refusal()
    assert text.startswith("2 things are wrong:\n- ")
    assert '"x.y"' in text
    assert "tags.settings.size: there is no such key" in text


def test_load_when_plan_names_an_unknown_limit_or_feature_then_refused_naming_the_file(tree):
    tree.add("notes", "@hookimpl\ndef register_limits(): return [Limit('notes.notes', 'quota', 'x')]")
    tree.plans_toml.write_text(
        '[free]\ntitle = "F"\nprice = 0\ncurrency = "usd"\nfeatures = ["nots"]\n[free.limits]\n"notes.nodes" = "3"\n'
    )
    text = tree.refusal()
    assert "plans.toml" in text
    assert "notes.nodes" in text
    assert "nots" in text


@pytest.mark.parametrize("text", ["5", "5/month"])
def test_load_when_plan_gives_a_rate_no_fixed_time_then_refused_naming_the_plan(tree, text):
    tree.add("notes", "@hookimpl\ndef register_limits(): return [Limit('notes.calls', 'rate', 'x')]")
    tree.plans_toml.write_text(
        f'[free]\ntitle = "F"\nprice = 0\ncurrency = "usd"\nfeatures = ["*"]\n[free.limits]\n"notes.calls" = "{text}"\n'
    )
    assert f'free.limits."notes.calls": "{text}" is no rate' in tree.refusal()


def test_load_when_plan_names_a_limit_of_a_failed_plugin_then_still_starts(tree):
    tree.add("notes", "raise ValueError")
    tree.plans_toml.write_text(
        '[free]\ntitle = "F"\nprice = 0\ncurrency = "usd"\nfeatures = ["*"]\n[free.limits]\n"notes.notes" = "3"\n'
    )
    assert tree.load().quarantine.reason("notes")


@pytest.mark.parametrize(
    ("plan", "starts"),
    [
        ('features = ["*"]\n[free.limits]\n"reports.pages" = "3"', True),  # a plugin that was uninstalled
        ('features = ["*"]\n[free.limits]\n"letters.sent" = "3"', True),  # one that stands there and is not loaded
        ('features = ["notes", "letters"]', True),
        ('features = ["*"]\n[free.limits]\n"notse.notes" = "3"', False),  # close to one that is loaded
        ('features = ["*"]\n[free.limits]\n"notes.letters" = "3"', False),
        ('features = ["*"]\n[free.limits]\n"tennant.members" = "3"', False),
        ('features = ["*"]\n[free.limits]\n"seats" = "3"', False),
    ],
)
def test_load_when_plan_names_what_no_loaded_plugin_declares_then_a_warning_unless_it_is_misspelt(
    tree, caplog, plan, starts
):
    tree.add("notes", "@hookimpl\ndef register_limits(): return [Limit('notes.notes', 'quota', 'x')]")
    tree.add("letters", wanted=False)
    tree.plans_toml.write_text(f'[free]\ntitle = "F"\nprice = 0\ncurrency = "usd"\n{plan}\n')
    if starts:
        tree.load()
        assert "not loaded here" in caplog.text
    else:
        assert "plans.toml" in tree.refusal()


def test_load_when_host_brings_its_own_things_then_first_in_the_catalog(tree):
    from host.contracts import Limit, Permission

    class Application:
        @hookimpl
        def register_permissions(self):
            return [Permission("tenant.members.read", "x")]

        @hookimpl
        def register_limits(self):
            return [Limit("tenant.members", "quota", "x")]

    tree.add("notes", READING.format("notes"))
    registry = tree.load(host_plugin=Application(), strict=True)
    assert list(registry.catalog.named(PERMISSIONS)) == ["tenant.members.read", "notes.things.read"]
    assert registry.catalog.owners(LIMITS) == {"tenant.members": "host"}
    assert registry.ids == ("notes",)


def test_load_when_the_hosts_own_hook_fails_then_refused(tree):
    class Application:
        @hookimpl
        def register_permissions(self):
            raise ValueError("ours")

    assert "register_permissions: it raised ValueError: ours" in tree.refusal(host_plugin=Application())


STARTS = "@hookimpl\nasync def on_start(): {0}\n"


async def test_start_when_one_fails_then_quarantined_and_can_be_rearmed(tree):
    tree.add("bad", "ready = False\n" + STARTS.format("\n    if not ready: raise ValueError('not yet')"))
    tree.add("good", "started = []\n" + STARTS.format("started.append(1)"))
    registry = tree.load()
    (failure,) = await registry.start()
    assert failure.plugin == "bad"
    assert tree.module("good.plugin").started == [1]
    assert registry.quarantine.reason("bad") == "on_start: it raised ValueError: not yet"

    assert [again.plugin for again in await registry.rearm("bad")] == ["bad"]
    assert "bad" in registry.quarantine
    tree.module("bad.plugin").ready = True
    assert await registry.rearm("bad") == ()
    assert "bad" not in registry.quarantine
    assert tree.module("good.plugin").started == [1]
    assert await registry.rearm("good") == ()


async def test_start_when_one_fails_and_strict_then_refused(tree):
    tree.add("bad", STARTS.format("raise ValueError('no')"))
    registry = tree.load(strict=True)
    with pytest.raises(ConfigurationError, match='plugin "bad": on_start: it raised ValueError: no; correct it'):
        await registry.start()


async def test_stop_when_plugins_require_each_other_then_the_last_one_first(tree):
    source = "import order_of_ends\n@hookimpl\nasync def on_stop(): order_of_ends.ends.append('{0}')"
    (tree.root / "order_of_ends.py").write_text("ends = []")
    tree.add("tags", source.format("tags"), requires={"notes": "*"})
    tree.add("notes", source.format("notes"))
    registry = tree.load()
    import order_of_ends

    assert await registry.stop() == ()
    assert order_of_ends.ends == ["tags", "notes"]


async def test_rearm_when_plugin_never_loaded_then_says_restart(tree):
    tree.add("bad", "raise ValueError")
    registry = tree.load()
    with pytest.raises(RuntimeError, match="restart"):
        await registry.rearm("bad")


async def test_veto_when_plugin_with_authorize_could_not_be_imported_then_refused_where_it_is_on(tree, snapshot_of):
    tree.add("bad", "raise ValueError\n@hookimpl\nasync def authorize(actor): ...")
    registry = tree.load()
    on = registry.feature_gate.switched_on(snapshot_of())
    assert not (await registry.hook_calls.ask_veto("authorize", None, "p", {}, plugins=on)).allowed
    assert (await registry.hook_calls.ask_veto("authorize", None, "p", {}, plugins={"host"})).allowed
