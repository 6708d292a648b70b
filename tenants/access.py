"""Decide whether a role or an API key holds a permission, and explain the decision in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

ALL_PERMISSION = "all_permission"
"""The name `lacking` uses for all permissions; a permission's own name has dots."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Permissions that somebody has beside their role's; source: what gives them, for people ("the team Design").

    Example:
        Grant("the team Sales", frozenset({"notes.notes.read"}))
    """

    source: str
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Grants:
    """The permissions somebody holds in one tenant. Names are exact: there are no patterns.

    all_permission: holds every permission, present and future. role: whose grants these are, for people to read.
    added: what else than the role gives permissions; `permissions` is the union, and of it `of_role` is the role's
    (None: all).
    """

    permissions: frozenset[str]
    all_permission: bool = False
    role: str = ""
    added: tuple[Grant, ...] = ()
    of_role: frozenset[str] | None = None

    def allows(self, permission: str) -> bool:
        """Whether `permission` is held."""
        return self.all_permission or permission in self.permissions

    def lacking(self, wanted: Iterable[str], *, all_permission: bool = False) -> tuple[str, ...]:
        """The wanted permissions that are not held, sorted: nobody may grant what they lack.

        Wanting `all_permission` needs `all_permission` itself; holding every single permission is not enough.
        """
        if self.all_permission:
            return ()
        missing = tuple(sorted(set(wanted) - self.permissions))
        return (ALL_PERMISSION, *missing) if all_permission else missing

    def narrowed(self, to: frozenset[str]) -> Grants:
        """These grants restricted to the permissions `to` of an API key; never more than is held."""
        held = to if self.all_permission else self.permissions & to
        role = f"{self.role} as this API key narrows it"
        return Grants(permissions=held, role=role, added=self.added, of_role=self.of_role)

    def with_added(self, added: Iterable[Grant]) -> Grants:
        """These grants and what else gives permissions: the union of all, in whatever order."""
        grants = tuple(grant for grant in added if grant.permissions)
        if not grants:
            return self
        permissions = self.permissions.union(*(grant.permissions for grant in grants))
        return replace(self, permissions=permissions, added=grants, of_role=self.permissions)

    def sources(self, permission: str) -> tuple[str, ...]:
        """What gives a permission, as subjects of sentences: the role first, then what plugins add."""
        role = f"The role {self.role}" if self.role else "This key or role"
        by_role = self.all_permission or permission in (self.permissions if self.of_role is None else self.of_role)
        return (*((role,) if by_role else ()), *(each.source for each in self.added if permission in each.permissions))


def explain(grants: Grants, permission: str) -> tuple[bool, tuple[str, ...]]:
    """The decision of `grants.allows(permission)` and the sentences that lead to it, in order."""
    role = f"The role {grants.role}" if grants.role else "This key or role"
    if grants.all_permission:
        return True, (f"{role} holds all permissions.", f"{permission} is one of them.")
    granted = tuple(f"{source} gives {permission}." for source in grants.sources(permission))
    if permission in grants.permissions:
        return True, granted
    if granted:
        return False, (*granted, "This API key does not include it.")
    if not grants.permissions:
        return False, (f"{role} holds no permission at all.", f"{permission} is therefore denied.")
    return False, (f"{role} does not hold {permission}.", "What is not granted is denied.")
