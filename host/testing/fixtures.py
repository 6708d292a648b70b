"""Pytest fixtures: the deployment under test, a running application with fresh tables, and two tenants."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import pytest_asyncio

from host.cli.init import starter_files
from host.registry import deployment as plugins_file
from host.registry.discovery import ENTRY_POINT_GROUP
from host.settings import Settings, load
from host.testing.two_tenants import TestApplication, TwoTenants

DATABASE = "tenantry.sqlite3"


@pytest.fixture(scope="session")
def deployment(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the deployment under test: the nearest one, from pytest's root folder upwards, with a plugins.toml.

    Where there is none, such as in the project of a plugin that is installed from its own wheel, one is made that
    loads the bundled plugins and every installed one. Override it to test with another.
    """
    for folder in (pytestconfig.rootpath, *pytestconfig.rootpath.parents):
        if (folder / "plugins.toml").is_file() and (folder / "config" / "settings.toml").is_file():
            return folder
    new_folder = tmp_path_factory.mktemp("deployment")
    for name, text in starter_files().items():
        (new_folder / name).parent.mkdir(exist_ok=True)
        (new_folder / name).write_text(text, "utf-8")
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        plugins_file.enable(new_folder / "plugins.toml", point.name, default="on")
    return new_folder


@pytest.fixture(scope="session")
def migrated_database(deployment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables and no rows, migrated once a session; each test works on a copy."""
    folder = tmp_path_factory.mktemp("migrated")
    settings = _settings(deployment, folder)

    async def migrate() -> None:
        async with TestApplication.open(settings):
            pass

    with ThreadPoolExecutor(1) as thread:  # a loop of its own, whatever loop the session has
        thread.submit(lambda: asyncio.run(migrate())).result()
    return folder / DATABASE


@pytest.fixture
def app_settings(deployment: Path, migrated_database: Path, tmp_path: Path) -> Settings:
    """The settings of the deployment under test, on the embedded default in a folder of its own; override at will."""
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(migrated_database, data / DATABASE)
    return _settings(deployment, data)


@pytest_asyncio.fixture
async def application(app_settings: Settings) -> AsyncIterator[TestApplication]:
    """A running application, migrated, with jobs run when the test says so (`await application.run_jobs()`)."""
    async with TestApplication.open(app_settings) as opened:
        yield opened


@pytest_asyncio.fixture
async def two_tenants(application: TestApplication) -> AsyncIterator[TwoTenants]:
    """Two tenants, acme and globex, each with an owner, an administrator, a member and a viewer."""
    async with TwoTenants.create(application) as both:
        yield both


def _settings(deployment: Path, data: Path) -> Settings:
    environment = {"TENANTRY_DATA__DIR": str(data)}
    return load(deployment / "config" / "settings.toml", environment, plugin_ids=None)
