"""A pytest plugin for plugin authors: two tenants that must not see each other, people with roles, a client each."""

from host.testing.fixtures import house, house_settings, neighbours
from host.testing.neighbours import Client, Neighbours, TestHouse

__all__ = ["Client", "Neighbours", "TestHouse", "house", "house_settings", "neighbours"]
