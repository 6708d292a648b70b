"""The example of a third-party plugin, found by its entry point as an installer would leave it."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from host.registry.discovery import available
from host.registry.kinds import LIMITS, ROUTES

EXAMPLE = Path(__file__).parents[2] / "examples/tenantry_hello"


@pytest.fixture
def hello(tree, tmp_path, monkeypatch):
    """The example on the path, with the metadata that installing it would write."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    (info / "entry_points.txt").write_text(
        "".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups)
    )
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield tree
    for name in [name for name in sys.modules if name.split(".")[0] == "tenantry_hello"]:
        del sys.modules[name]


def test_example_when_installed_and_not_named_then_available_and_not_imported(hello):
    registry = hello.load(strict=True)
    assert "hello" in available(hello.package)
    assert registry.ids == ()
    assert "tenantry_hello" not in sys.modules


def test_example_when_named_then_loads_strictly_with_all_it_declares(hello):
    hello.want('[hello]\ndefault = "on"\npackage = "tenantry-hello"\n[hello.settings]\nword = "Moin"')
    registry = hello.load(strict=True)
    plugin = registry.plugin("hello")
    assert (plugin.package, plugin.source) == ("tenantry_hello", "tenantry-hello")
    assert registry.settings["hello"].word == "Moin"
    ((owner, route),) = registry.catalog.all(ROUTES)
    assert (owner, route.method, route.path, route.permission) == ("hello", "GET", "/hello", "hello.greetings.read")
    assert list(registry.catalog.named(LIMITS)) == ["hello.greetings"]
    assert len(registry.quarantine) == 0


def test_example_when_released_then_manifest_and_distribution_agree():
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    manifest = tomllib.loads((EXAMPLE / "tenantry_hello/manifest.toml").read_text())
    assert manifest["version"] == project["version"]
    assert list(project["entry-points"]["tenantry.plugins"]) == [manifest["id"]]
