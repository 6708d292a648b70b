"""Pytest plugin for plugin authors: a running application, two tenants, and a signed-in client per person."""

try:
    from host.testing.fixtures import app_settings, application, deployment, migrated_database, two_tenants
except ModuleNotFoundError as error:  # pytest loads this wherever Tenantry is installed; the extra `testing` brings it
    if error.name != "pytest_asyncio":
        raise
from host.testing.two_tenants import Client, TestApplication, TwoTenants

__all__ = [
    "Client",
    "TestApplication",
    "TwoTenants",
    "app_settings",
    "application",
    "deployment",
    "migrated_database",
    "two_tenants",
]
