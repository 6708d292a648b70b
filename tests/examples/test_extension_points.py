"""Two example plugins that do not know each other: one offers an extension point, the other contributes to it."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.errors import NotFound
from host.execution_context import in_tenant
from host.extension_points import contributions
from host.registry.hook_calls import FAILURES_ALLOWED, HANGS_ALLOWED
from host.services import unit_of_work
from host.settings import Settings
from host.testing import Client, TwoTenants

ROOT = Path(__file__).parents[2]
EXAMPLES = ("dashboard", "clock")
LOADED = (*EXAMPLES, "faulty")
FAULTY = """
import asyncio, sys
from host import sdk
from host.execution_context import plugin

behaviour = "answers"

async def read():
    if behaviour == "raises":
        raise ValueError("broken")
    if behaviour == "refuses":
        raise sdk.NotFound("nothing today")
    if behaviour == "names its task":
        return asyncio.current_task().get_name()
    if behaviour == "hangs":
        await asyncio.sleep(60)
    if behaviour == "exits":
        sys.exit(3)
    return f"{plugin()} at {(await sdk.tenant()).slug}"

@sdk.hookimpl
def register_contributions():
    return [sdk.Contribution("dashboard.cards", {"title": "Faulty", "read": read, "order": 9})]
"""


@pytest.fixture
def app_settings(app_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A deployment with the examples, and a plugin with a card that fails; on the path as if they were installed."""
    root = tmp_path / "deployment"
    shutil.copytree(ROOT / "config", root / "config")
    shutil.copytree(ROOT / "examples" / "clock", tmp_path / "faulty")
    manifest = (tmp_path / "faulty" / "manifest.toml").read_text("utf-8")
    (tmp_path / "faulty" / "manifest.toml").write_text(manifest.replace('"clock"', '"faulty"'))
    (tmp_path / "faulty" / "plugin.py").write_text(FAULTY)
    wanted = "".join(f'\n[{name}]\ndefault = "on"\npackage = "example-{name}"\n' for name in LOADED)
    (root / "plugins.toml").write_text((ROOT / "plugins.toml").read_text("utf-8") + wanted)
    for name in LOADED:
        info = tmp_path / f"example_{name}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: example-{name}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[tenantry.plugins]\n{name} = {name}\n")
    for folder in (tmp_path, ROOT / "examples"):
        monkeypatch.syspath_prepend(str(folder))
    yield app_settings.model_copy(update={"root": root})
    for name in [name for name in sys.modules if name.split(".")[0] in LOADED]:
        del sys.modules[name]


def behave(how: str) -> None:
    sys.modules["faulty.plugin"].behaviour = how  # type: ignore[attr-defined]


async def text_of(client: Client, plugin: str) -> str | None:
    cards = {card["plugin"]: card["text"] for card in await client.ask("GET", "/dashboard")}
    return cards.get(plugin)


def test_examples_when_their_imports_are_read_then_neither_knows_the_other() -> None:
    for name in EXAMPLES:
        tree = ast.parse((ROOT / "examples" / name / "plugin.py").read_text("utf-8"))
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert "host" in modules
        assert not any(other in (module or "") for module in modules for other in EXAMPLES)


async def test_dashboard_when_read_then_shows_the_clocks_card_in_the_tenants_own_time(two_tenants: TwoTenants) -> None:
    await two_tenants.acme.ask("PATCH", "/tenant", json={"timezone": "Asia/Kathmandu"})
    card, _ = await two_tenants.acme_viewer.ask("GET", "/dashboard")
    assert (card["plugin"], card["title"]) == ("clock", "Local time")
    assert re.fullmatch(r"\d\d:\d\d", card["text"])
    assert card["text"] != await text_of(two_tenants.globex, "clock")  # Kathmandu is 5:45 ahead of UTC


async def test_dashboard_when_either_plugin_is_off_then_hidden_there_and_nowhere_else(two_tenants: TwoTenants) -> None:
    acme, globex = two_tenants.acme, two_tenants.globex
    await acme.ask("PUT", "/tenant/plugins/clock", json={"enabled": False})
    assert await text_of(acme, "clock") is None
    assert await text_of(globex, "clock")
    await acme.ask("PUT", "/tenant/plugins/clock", json={"enabled": True})
    assert await text_of(acme, "clock")


async def test_contributions_when_offering_plugin_is_off_for_the_tenant_then_none(
    two_tenants: TwoTenants,
) -> None:
    cards = sys.modules["dashboard.plugin"].CARDS
    await two_tenants.acme.ask("PUT", "/tenant/plugins/dashboard", json={"enabled": False})
    for client, number in ((two_tenants.acme, 0), (two_tenants.globex, 2)):
        facts = await two_tenants.application.inner.callbacks.snapshot_of(client.tenant_id)
        with two_tenants.application.inner.bound(), in_tenant(facts):
            assert len(await contributions(cards)) == number
    with two_tenants.application.inner.bound():
        assert len(await contributions(cards)) == 2  # outside any tenant: whatever is loaded


async def test_contribution_when_called_then_its_own_plugins_code_in_the_tenant(
    two_tenants: TwoTenants,
) -> None:
    assert await text_of(two_tenants.acme, "faulty") == "faulty at acme"
    assert await text_of(two_tenants.globex, "faulty") == "faulty at globex"


async def test_contribution_when_called_in_a_unit_of_work_then_in_the_task_that_owns_its_transaction(
    two_tenants: TwoTenants,
) -> None:
    behave("names its task")
    facts = await two_tenants.application.inner.callbacks.snapshot_of(two_tenants.acme.tenant_id)
    with two_tenants.application.inner.bound(), in_tenant(facts):
        faulty = (await contributions(sys.modules["dashboard.plugin"].CARDS))[-1]
        mine = "the task of the unit of work"
        task = asyncio.current_task()
        assert task is not None
        task.set_name(mine)
        async with unit_of_work():
            assert await faulty.content.read() == mine
        assert await faulty.content.read() != mine  # of its own, which can be abandoned


@pytest.mark.parametrize(("how", "times"), [("raises", FAILURES_ALLOWED), ("hangs", HANGS_ALLOWED), ("exits", 1)])
async def test_contribution_when_it_fails_again_and_again_then_its_plugin_is_quarantined_and_others_serve(
    two_tenants: TwoTenants, how: str, times: int
) -> None:
    quarantine = two_tenants.application.inner.registry.quarantine
    behave(how)
    for _ in range(times):
        assert "faulty" not in quarantine
        assert await text_of(two_tenants.acme, "faulty") == "not available"
    assert "dashboard.cards: " in (quarantine.reason("faulty") or "")
    assert await text_of(two_tenants.acme, "faulty") is None  # hidden, as where it is switched off
    assert "dashboard" not in quarantine


async def test_contribution_when_it_refuses_then_the_refusal_comes_through_and_counts_for_nothing(
    two_tenants: TwoTenants,
) -> None:
    behave("refuses")
    facts = await two_tenants.application.inner.callbacks.snapshot_of(two_tenants.acme.tenant_id)
    with two_tenants.application.inner.bound(), in_tenant(facts):
        faulty = (await contributions(sys.modules["dashboard.plugin"].CARDS))[-1]
        for _ in range(FAILURES_ALLOWED + 1):
            with pytest.raises(NotFound, match="nothing today"):
                await faulty.content.read()
    assert len(two_tenants.application.inner.registry.quarantine) == 0
    two_tenants.application.inner.registry.quarantine.put("faulty", "by hand")
    with two_tenants.application.inner.bound(), in_tenant(facts), pytest.raises(RuntimeError, match="in quarantine"):
        await faulty.content.read()


def test_points_when_listed_then_with_fields_and_contributors(app_settings: Settings, tmp_path: Path) -> None:
    plugin = (tmp_path / "faulty" / "plugin.py").read_text("utf-8")
    more = plugin.replace("return [", 'return [sdk.Contribution("absent.things", {}), ')
    (tmp_path / "faulty" / "plugin.py").write_text(more)
    command = [sys.executable, "-c", "from host.cli import main; main()", "plugin", "list", "--points", "--json"]
    path = os.pathsep.join(map(str, (tmp_path, ROOT / "examples", ROOT)))
    listed = subprocess.run(command, cwd=app_settings.root, env={"PYTHONPATH": path}, capture_output=True, check=True)
    assert json.loads(listed.stdout)["data"] == [
        {
            "point": "dashboard.cards",
            "summary": "A card on an organisation's dashboard.",
            "fields": ["title: str", "read: Callable[[], Awaitable[str]]", "order: int = 0"],
            "contributors": ["clock", "faulty"],
        },
        {
            "point": "absent.things",
            "summary": "(offered by no plugin here)",
            "fields": [],
            "contributors": ["faulty"],
        },
    ]
