"""Add what plugins give a member (principals, permissions), and decide whether somebody may use a permission."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from host.contracts import Actor, Decision
from host.data.database import bound
from host.execution_context import NOWHERE, use_context
from host.registry.guarded_hook import Heard
from host.registry.kinds import PERMISSIONS
from host.registry.registry import Registry
from tenants.access import Grant, Grants
from tenants.snapshots import MemberSnapshot, Snapshots, TenantSnapshot

HOST_PRINCIPALS = ("user:", "role:", "org")
"""What the host itself says a person stands for; plugins bring kinds of their own."""

MOST_PRINCIPALS = 200
"""How many principals one plugin may add to a person: each list of shared things compares with all of them."""

_ALLOWED = Decision(True, "it is held")
_log = logging.getLogger("host.member_access")


class MemberAccess:
    """What members stand for and may do, with what the active plugins add.

    A plugin that fails to answer adds nothing, and the answer is not cached, so that it is asked again.
    """

    def __init__(self, registry: Registry, snapshots: Callable[[], Snapshots]) -> None:
        self._registry, self._snapshots = registry, snapshots
        calls, catalog = registry.hook_calls, registry.catalog
        self._role_permissions = catalog.role_permissions
        self._permissions = frozenset(catalog.named(PERMISSIONS))
        self._vetoing = bool(calls.implementers("authorize"))
        self._adding = bool(calls.implementers("contribute_principals") or calls.implementers("contribute_grants"))

    async def complete(self, tenant_id: UUID, version: bytes | None, member: MemberSnapshot) -> MemberSnapshot:
        """The member with the permissions that plugins give their built-in role, and with what active plugins add."""
        assert member.grants is not None  # only members are completed
        from_role = self._role_permissions.get(member.role_name) if member.built_in_role else None
        if from_role:
            member = replace(member, grants=replace(member.grants, permissions=member.grants.permissions | from_role))
        if not self._adding:
            return member
        tenant = await self._snapshots().tenant(tenant_id, version)
        return await self._with_plugins(tenant, member) if tenant is not None else member

    async def _with_plugins(self, tenant: TenantSnapshot, member: MemberSnapshot) -> MemberSnapshot:
        assert member.grants is not None
        principals = [
            None if heard.reason else _principals(heard.plugin, heard.answer)
            for heard in await self._ask("contribute_principals", tenant, member.user_id)
        ]
        grants = [
            None if heard.reason else _grants(heard.plugin, heard.answer)
            for heard in await self._ask("contribute_grants", tenant, member.user_id)
        ]
        added = [Grant(each.source, each.permissions & self._permissions) for some in grants for each in some or ()]
        return replace(
            member,
            grants=member.grants.with_added(added),
            principals=member.principals.union(*(some for some in principals if some)),
            lasting=None not in (*principals, *grants),
        )

    async def decide(
        self, actor: Actor, grants: Grants, tenant: TenantSnapshot | None, permission: str, resource: Mapping[str, str]
    ) -> Decision:
        """Whether the actor may use a permission: it must be held, and no active plugin may object."""
        if not grants.allows(permission):
            return Decision(False, f"the role {grants.role or 'held here'} does not hold it")
        if not self._vetoing or tenant is None:
            return _ALLOWED
        switched_on = self._registry.feature_gate.switched_on(tenant)
        return await self._registry.hook_calls.ask_veto("authorize", actor, permission, resource, plugins=switched_on)

    async def people_of(self, tenant: TenantSnapshot, principals: Collection[str]) -> frozenset[UUID]:
        """The people who stand for any of these principals of plugins; a plugin that fails raises.

        Raises:
            RuntimeError: a plugin could not answer; the message names it.
        """
        people: set[UUID] = set()
        for answer in await self._answers("resolve_principals", tenant, frozenset(principals)):
            people.update(answer if isinstance(answer, Iterable) else ())
        return frozenset(people)

    async def names_of(self, tenant: TenantSnapshot, principals: Collection[str]) -> dict[str, str]:
        """The names, for people to read, of those of these principals that a plugin knows."""
        names: dict[str, str] = {}
        for answer in await self._answers("describe_principals", tenant, frozenset(principals)):
            names.update(answer if isinstance(answer, Mapping) else {})
        return names

    async def _answers(self, hook: str, tenant: TenantSnapshot, principals: frozenset[str]) -> list[object]:
        heard = await self._ask(hook, tenant, principals)
        if failed := next((each for each in heard if each.reason), None):
            raise failed.failure()
        return [each.answer for each in heard if each.answer is not None]

    async def _ask(self, hook: str, tenant: TenantSnapshot, about: object) -> Sequence[Heard]:
        """What the active plugins answer, with the tenant bound."""
        active = self._registry.feature_gate.active(tenant, self._registry.hook_calls.implementers(hook))
        with use_context(replace(NOWHERE, tenant=tenant)):
            return await self._registry.hook_calls.ask_all(
                hook, about, plugins=active, apart=not bound().in_transaction
            )


def _principals(plugin: str, answer: object) -> list[str] | None:
    """What a plugin says a person stands for; None, and an error in the log, where it is not usable."""
    values = list(answer) if isinstance(answer, Collection) and not isinstance(answer, str) else [None]
    wrong = [value for value in values if not (isinstance(value, str) and _is_own(value))]
    if wrong or len(values) > MOST_PRINCIPALS:
        _log.error(
            'plugin %s: contribute_principals must return at most %d texts such as "team:1", of a kind that is not '
            "the host's (user, role, org); it returned %s",
            plugin,
            MOST_PRINCIPALS,
            repr(wrong[0]) if wrong else f"{len(values)} of them",
        )
        return None
    return [str(value) for value in values]


def _is_own(principal: str) -> bool:
    kind, separator, name = principal.partition(":")
    return bool(kind and separator and name) and not principal.startswith(HOST_PRINCIPALS) and len(principal) <= 100


def _grants(plugin: str, answer: object) -> list[Grant] | None:
    """The permissions a plugin adds; None, and an error in the log, where it is not usable."""
    values = list(answer) if isinstance(answer, Collection) and not isinstance(answer, str) else [None]
    if all(isinstance(value, Grant) for value in values):
        return [value for value in values if isinstance(value, Grant)]
    _log.error("plugin %s: contribute_grants must return a sequence of Grant(source, permissions)", plugin)
    return None
