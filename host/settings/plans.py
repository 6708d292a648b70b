"""Read config/plans.toml and config/roles.toml: what plans allow, and the roles of new tenants."""

from __future__ import annotations

from pathlib import Path

from host.errors import ConfigurationError
from host.settings.files import read_tables
from tenants.lifecycle import RoleSeed
from tenants.plans import Plan, Plans


def read_plans(path: Path) -> Plans:
    """All plans of the deployment.

    Raises:
        ConfigurationError: there is none, or lists everything that is wrong with the file.
    """
    plans = read_tables(path, Plan, others="plugins")
    if not plans:
        raise ConfigurationError(f"{path}: there is no plan in it; add one, such as [free]")
    return Plans(str(path), plans)


def read_roles(path: Path) -> tuple[RoleSeed, ...]:
    """The roles every new tenant starts with.

    Raises:
        ConfigurationError: lists everything that is wrong; or no role has all_permission: nobody could own a tenant.
    """
    roles = read_tables(path, RoleSeed, key="name")
    if not any(role.all_permission for role in roles):
        raise ConfigurationError(f"{path}: no role has all_permission = true, so nobody could own a tenant; add one")
    return roles
