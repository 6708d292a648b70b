"""Decide whether a role or an API key holds a permission, and explain the decision in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ALL_PERMISSION = "all_permission"
"""The name `lacking` uses for all permissions; a permission's own name has dots."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The permissions somebody holds in one tenant. Names are exact: there are no patterns.

    all_permission: holds every permission, present and future. role: whose grants these are, for people to read.
    """

    permissions: frozenset[str]
    all_permission: bool = False
    role: str = ""

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
        return Grants(permissions=held, role=self.role)


NOTHING = Grants(permissions=frozenset())


def explain(grants: Grants, permission: str) -> tuple[bool, tuple[str, ...]]:
    """The decision of `grants.allows(permission)` and the sentences that lead to it, in order."""
    role = f"The role {grants.role}" if grants.role else "This key or role"
    if grants.all_permission:
        return True, (f"{role} holds all permissions.", f"{permission} is one of them.")
    if permission in grants.permissions:
        return True, (f"{role} holds {permission}.",)
    if not grants.permissions:
        return False, (f"{role} holds no permission at all.", f"{permission} is therefore denied.")
    return False, (f"{role} does not hold {permission}.", "What is not granted is denied.")
