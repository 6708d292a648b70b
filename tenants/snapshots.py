"""Facts: what every request must know of a tenant and of a person, read together and kept for a moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from uuid import UUID

from tenants.access import Grants
from tenants.context import bind
from tenants.models import Activation, ActivationState, Membership, Tenant, TenantSetting, TenantStatus, User
from tenants.text import cut_to_line

LIMIT_PREFIX = "limit:"
"""What the key of a TenantSetting begins with when it holds a limit of its own for the tenant."""

_FRESH = 300.0  # seconds, for the case that a version token got lost on its way
_KEEP = 10_000  # tenants, people and memberships each

KEY = TypeVar("KEY", bound=Hashable)
VALUE = TypeVar("VALUE")


@dataclass(frozen=True, slots=True)
class TenantSnapshot:
    """A tenant with its switches, settings and limits.

    switches: plugin -> what was decided here; a plugin that is not in it follows the deployment's default.
    plugin_settings: plugin -> its settings here. limits: limit -> the tenant's own value, as text.
    """

    id: UUID
    slug: str
    name: str
    plan: str
    status: TenantStatus
    status_reason: str
    switches: Mapping[str, ActivationState]
    plugin_settings: Mapping[str, Mapping[str, Any]]
    limits: Mapping[str, str]
    created_at: datetime
    version: int
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class MemberSnapshot:
    """A person, and the place in one tenant; `grants` is None where the person is no member of it.

    built_in_role: the role is one that every tenant starts with; plugins may give it permissions.
    """

    user_id: UUID
    email: str
    name: str
    is_operator: bool
    disabled: bool
    token_version: int
    role_name: str = ""
    grants: Grants | None = None
    built_in_role: bool = False


class VersionedCache(Generic[KEY, VALUE]):
    """Values by key, good as long as their version token stays the same and for 5 minutes at most."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[KEY, tuple[object, float, VALUE]] = OrderedDict()

    async def get(
        self, key: KEY, version: Hashable, fresh: bool, read: Callable[[], Awaitable[VALUE | None]]
    ) -> VALUE | None:
        """The value kept under `version`, or what `read` gives; `fresh`: never the kept one."""
        known = None if fresh else self._kept.get(key)
        if known is not None and known[0] == version and self._now() - known[1] < _FRESH:
            self._kept.move_to_end(key)
            return known[2]
        read_at = self._now()
        value = await read()
        self._kept.pop(key, None)
        if value is not None:
            self._kept[key] = version, read_at, value
            if len(self._kept) > _KEEP:
                self._kept.popitem(last=False)
        return value

    def __contains__(self, key: object) -> bool:
        """Whether something is kept for the key, good still or not."""
        return key in self._kept

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()


class Snapshots:
    """Reads facts and keeps them; one for each application.

    A version token is whatever the caller uses to tell that something changed (opaque bytes; None: not known, so that
    the answer is read afresh). It
    must be fetched before it is passed in here, so that facts are never older than their token. Ask outside of
    transactions: what is read inside one may yet be undone.
    """

    def __init__(self, *, now: Callable[[], float] = monotonic) -> None:
        self._tenants: VersionedCache[UUID, TenantSnapshot] = VersionedCache(now)
        self._people: VersionedCache[UUID, MemberSnapshot] = VersionedCache(now)
        self._members: VersionedCache[tuple[UUID, UUID], MemberSnapshot] = VersionedCache(now)

    async def tenant(self, tenant_id: UUID, version: bytes | None) -> TenantSnapshot | None:
        """The tenant; None when there is none with this id."""
        return await self._tenants.get(tenant_id, version, version is None, lambda: _read_tenant(tenant_id))

    async def person(self, user_id: UUID, version: bytes | None) -> MemberSnapshot | None:
        """The person without any tenant; None when there is none with this id."""
        return await self._people.get(user_id, version, version is None, lambda: _read_person(user_id))

    async def member(
        self, tenant_id: UUID, user_id: UUID, tenant_version: bytes | None, user_version: bytes | None
    ) -> MemberSnapshot | None:
        """The person and the place in the tenant, `grants` None for an anonymous caller; None when there is no such
        person."""
        versions = tenant_version, user_version
        key, fresh = (tenant_id, user_id), None in versions
        return await self._members.get(key, versions, fresh, lambda: _read_member(tenant_id, user_id))

    def forget_all(self) -> None:
        """Forget everything: the next question goes to the database."""
        for shelf in (self._tenants, self._people, self._members):
            shelf.clear()


async def _read_tenant(tenant_id: UUID) -> TenantSnapshot | None:
    tenant = await Tenant.get_or_none(id=tenant_id)
    if tenant is None:
        return None
    with bind(tenant_id):
        activations = await Activation.all()
        settings = await TenantSetting.filter(key__startswith=LIMIT_PREFIX)
    return TenantSnapshot(
        id=tenant.id,
        slug=tenant.slug,
        name=cut_to_line(tenant.name),
        plan=tenant.plan,
        status=tenant.status,
        status_reason=tenant.status_reason,
        switches=MappingProxyType({row.plugin: row.state for row in activations if row.state is not None}),
        plugin_settings=MappingProxyType({row.plugin: MappingProxyType(row.settings) for row in activations}),
        limits=MappingProxyType({row.key.removeprefix(LIMIT_PREFIX): str(row.value["value"]) for row in settings}),
        created_at=tenant.created_at,
        version=tenant.version,
        timezone=tenant.timezone,
    )


def _person(
    user: User, role_name: str = "", grants: Grants | None = None, *, built_in_role: bool = False
) -> MemberSnapshot:
    return MemberSnapshot(
        user_id=user.id,
        email=user.email,
        name=cut_to_line(user.name),
        is_operator=user.is_operator,
        disabled=user.disabled_at is not None,
        token_version=user.token_version,
        role_name=role_name,
        grants=grants,
        built_in_role=built_in_role,
    )


async def _read_person(user_id: UUID) -> MemberSnapshot | None:
    user = await User.get_or_none(id=user_id)
    return _person(user) if user is not None else None


async def _read_member(tenant_id: UUID, user_id: UUID) -> MemberSnapshot | None:
    with bind(tenant_id):
        place = await Membership.get_or_none(user_id=user_id).select_related("user", "role")
    if place is None:
        return await _read_person(user_id)
    role = place.role
    grants = Grants(frozenset(role.permissions), role.all_permission, role.name)
    return _person(place.user, role.name, grants, built_in_role=role.built_in)
