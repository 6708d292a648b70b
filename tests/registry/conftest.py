"""Small plugins written into a folder, importable for one test."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from host.contracts import Decision
from host.errors import ConfigurationError
from host.registry.registry import Registry
from host.settings.plans import read_plans
from tenants.models import ActivationState, TenantStatus
from tenants.snapshots import TenantSnapshot

HEADER = """
    import asyncio, sys
    from uuid import UUID
    from pydantic import BaseModel, SecretStr
    from tortoise import fields
    from tortoise.models import Model as PlainModel
    from tenants.scoping import TenantModel as Model
    from host.contracts import *
    from host.contracts import Command
    from host.hookspecs import hookimpl
    async def handler(): ...
"""
PLANS = '[free]\ntitle = "Free"\nprice = 0\ncurrency = "usd"\nfeatures = ["*"]\n'


class PluginTree:
    """A deployment in a temporary folder: a package of bundled plugins, plugins.toml and plans.toml."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = f"bundled_{uuid4().hex[:8]}"
        self.folder = root / self.package
        self.folder.mkdir()
        (self.folder / "__init__.py").write_text("")
        self.plugins_toml = root / "plugins.toml"
        self.plugins_toml.write_text("")
        self.plans_toml = root / "plans.toml"
        self.plans_toml.write_text(PLANS)
        self.env: dict[str, str] = {}

    def add(
        self,
        plugin_id: str,
        source: str = "",
        *,
        default: str = "on",
        wanted: bool = True,
        requires: Mapping[str, str] | None = None,
        version: str = "1.0",
        sdk: str = ">=0.1",
        extra: str = "",
        files: Mapping[str, str] | None = None,
    ) -> Path:
        """Write one plugin, and name it in plugins.toml when `wanted`; `extra` are more lines of its manifest."""
        home = self.folder / plugin_id
        home.mkdir()
        lines = [
            f'id = "{plugin_id}"',
            'name = "X"',
            f'version = "{version}"',
            'summary = "A plugin."',
            f'sdk = "{sdk}"',
        ]
        lines += [extra, "[requires]", *(f'{name} = "{spec}"' for name, spec in (requires or {}).items())]
        (home / "manifest.toml").write_text("\n".join(lines))
        (home / "__init__.py").write_text("")
        (home / "plugin.py").write_text(textwrap.dedent(HEADER) + textwrap.dedent(source))
        for name, text in (files or {}).items():
            (home / name).write_text(textwrap.dedent(HEADER) + textwrap.dedent(text))
        if wanted:
            self.want(f'[{plugin_id}]\ndefault = "{default}"\n')
        return home

    def want(self, lines: str) -> None:
        """Add lines to plugins.toml."""
        with self.plugins_toml.open("a") as file:
            file.write(f"{lines}\n")

    def load(self, *, strict: bool = False, host_plugin: object | None = None) -> Registry:
        return Registry.load(
            self.plugins_toml,
            plans=read_plans(self.plans_toml),
            host_plugin=host_plugin,
            env=self.env,
            strict=strict,
            bundled=self.package,
        )

    def refusal(self, *, strict: bool = False, host_plugin: object | None = None) -> str:
        """What the start is refused with."""
        with pytest.raises(ConfigurationError) as caught:
            self.load(strict=strict, host_plugin=host_plugin)
        return str(caught.value)

    def imported(self, name: str) -> bool:
        return f"{self.package}.{name}" in sys.modules

    def module(self, name: str) -> object:
        return sys.modules[f"{self.package}.{name}"]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginTree]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield PluginTree(tmp_path)
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if name.startswith("bundled_") or file.startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def snapshot_of():
    """Makes the facts of a tenant with a plan and switches."""

    def make(plan: str = "free", **switches: ActivationState) -> TenantSnapshot:
        return TenantSnapshot(
            id=uuid4(),
            slug="acme",
            name="Acme",
            plan=plan,
            status=TenantStatus.ACTIVE,
            status_reason="",
            switches=switches,
            plugin_settings={},
            limits={},
            created_at=datetime.now(UTC),
            version=1,
        )

    return make


@pytest.fixture
def yes() -> Decision:
    return Decision(True, "fine by me")
