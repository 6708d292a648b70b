"""Read and cache what every request needs to know of a tenant and of a member, until a version token changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, replace
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
"""Prefix of the key of a TenantSetting that overrides a limit for the tenant."""

_FRESH = 300.0  # seconds, in case a new version token did not arrive
_KEEP = 10_000  # tenants, people and memberships each

KEY = TypeVar("KEY", bound=Hashable)
VALUE = TypeVar("VALUE")


@dataclass(frozen=True, slots=True)
class TenantSnapshot:
    """A tenant with its plugin activations, settings and limits.

    switches: plugin -> its activation state here; a plugin that is not in it follows the deployment's default.
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
    """A person and their membership in one tenant; `grants` is None when the person is not a member.

    built_in_role: the role is one that every tenant starts with; plugins may give it permissions.
    principals: what the person stands for where something is shared: "user:<id>", "role:<id>", "org", and what plugins
    add; empty for a non-member.
    lasting: False when something could not be read just now, so that the snapshot must not be cached.
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
    principals: frozenset[str] = frozenset()
    lasting: bool = True


Completion = Callable[[UUID, bytes | None, MemberSnapshot], Awaitable[MemberSnapshot]]
"""Adds what others give a member; arguments: the tenant's id, its version token and the snapshot so far."""


async def _as_read(tenant_id: UUID, version: bytes | None, member: MemberSnapshot) -> MemberSnapshot:
    """Add nothing: how members are completed where nobody else gives them anything."""
    return member


class VersionedCache(Generic[KEY, VALUE]):
    """A cache whose entries are valid while their version token stays the same, for 5 minutes at most."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[KEY, tuple[object, float, VALUE]] = OrderedDict()

    async def get(
        self, key: KEY, version: Hashable, fresh: bool, read: Callable[[], Awaitable[VALUE | None]]
    ) -> VALUE | None:
        """The value cached under `version`, else what `read` returns; `fresh` skips the cache."""
        cached = None if fresh else self._kept.get(key)
        if cached is not None and cached[0] == version and self._now() - cached[1] < _FRESH:
            self._kept.move_to_end(key)
            return cached[2]
        read_at = self._now()
        value = await read()
        self._kept.pop(key, None)
        if value is not None:
            self._kept[key] = version, read_at, value
            if len(self._kept) > _KEEP:
                self._kept.popitem(last=False)
        return value

    def __contains__(self, key: object) -> bool:
        """Whether an entry is cached for the key, valid or not."""
        return key in self._kept

    def peek(self, key: KEY) -> VALUE | None:
        """What is cached for a key, valid or not."""
        cached = self._kept.get(key)
        return cached[2] if cached is not None else None

    def drop(self, key: KEY) -> None:
        """Drop the entry of a key."""
        self._kept.pop(key, None)

    def clear(self) -> None:
        """Drop every entry."""
        self._kept.clear()


class Snapshots:
    """Reads and caches snapshots of tenants and people; one per application.

    A version token is opaque bytes that change when the tenant or person changes (None: unknown, so the cache is
    skipped). Fetch the token before calling, so that a snapshot is never older than its token. Call outside of
    transactions: what is read inside one may be rolled back.
    """

    def __init__(
        self,
        *,
        complete: Completion = _as_read,
        generation: Callable[[], int] = lambda: 0,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """complete: adds to a member's snapshot what others give. generation: a number; when it changes, members are
        completed anew."""
        self._complete, self._generation = complete, generation
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
        """The person and their membership in the tenant; `grants` is None for a non-member.

        Returns None when there is no such person.
        """
        versions = tenant_version, user_version, self._generation()
        key, fresh = (tenant_id, user_id), None in versions

        async def read() -> MemberSnapshot | None:
            member = await _read_member(tenant_id, user_id)
            if member is None or member.grants is None:
                return member
            return await self._complete(tenant_id, tenant_version, member)

        member = await self._members.get(key, versions, fresh, read)
        if member is not None and not member.lasting:
            self._members.drop(key)
        return member

    def forget_all(self) -> None:
        """Drop every cached snapshot: the next call reads the database."""
        for cache in (self._tenants, self._people, self._members):
            cache.clear()


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


def _person(user: User) -> MemberSnapshot:
    return MemberSnapshot(
        user_id=user.id,
        email=user.email,
        name=cut_to_line(user.name),
        is_operator=user.is_operator,
        disabled=user.disabled_at is not None,
        token_version=user.token_version,
    )


async def _read_person(user_id: UUID) -> MemberSnapshot | None:
    user = await User.get_or_none(id=user_id)
    return _person(user) if user is not None else None


async def _read_member(tenant_id: UUID, user_id: UUID) -> MemberSnapshot | None:
    with bind(tenant_id):
        membership = await Membership.get_or_none(user_id=user_id).select_related("user", "role")
    if membership is None:
        return await _read_person(user_id)
    role = membership.role
    grants = Grants(frozenset(role.permissions), role.all_permission, role.name)
    return replace(
        _person(membership.user),
        role_name=role.name,
        grants=grants,
        built_in_role=role.built_in,
        principals=frozenset({f"user:{user_id}", f"role:{role.id}", "org"}),
    )
