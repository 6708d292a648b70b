"""A pytest plugin for plugin authors: two tenants that must not see each other, people with roles, a client each."""

try:
    from host.testing.fixtures import deployment, house, house_settings, migrated_database, neighbours
except ModuleNotFoundError as error:  # pytest loads this wherever Tenantry is installed; the extra `testing` brings it
    if error.name != "pytest_asyncio":
        raise
from host.testing.neighbours import Client, Neighbours, TestHouse

__all__ = [
    "Client",
    "Neighbours",
    "TestHouse",
    "deployment",
    "house",
    "house_settings",
    "migrated_database",
    "neighbours",
]
