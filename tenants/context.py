"""Bind the current tenant to a task, read it back, and allow named code to read across tenants.

A tenant is bound for the length of a request, a job or a command. No value of the binding means "all
tenants": code that has bound nothing and is not inside `cross_tenant(reason)` cannot query tenant data at all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

_log = logging.getLogger("tenants.across")


class TenantMissing(RuntimeError):
    """A tenant-scoped query was built or run with no tenant bound.

    Example:
        with pytest.raises(TenantMissing):
            await Note.all()
    """


class WrongTenant(RuntimeError):
    """A row of one tenant was about to be read, written or linked while another tenant was bound."""


class Unscoped(TypeError):
    """A query or relation that tenant isolation cannot scope was refused; the message says what to use instead."""


@dataclass(frozen=True, slots=True)
class CrossTenant:
    """What `cross_tenant` binds instead of a tenant: permission to read every tenant's rows, with the reason."""

    reason: str


SYSTEM_TENANT = UUID(int=0)
"""Instead of a tenant's id: rows of tenants' tables that belong to no tenant, such as the record of a sign-in."""

# The foundation's own, as it knows nothing above it: isolation holds where no application is bound, too.
_scope: ContextVar[UUID | CrossTenant | None] = ContextVar("tenant", default=None)


def scope() -> UUID | CrossTenant:
    """The bound tenant's id, or the `CrossTenant` in force.

    Raises:
        TenantMissing: neither is bound.
    """
    bound = _scope.get()
    if bound is None:
        raise TenantMissing("no tenant is bound here: wrap the call in tenants.context.bind(tenant_id)")
    return bound


def current() -> UUID:
    """The bound tenant's id.

    Raises:
        TenantMissing: no tenant is bound, or `cross_tenant` is in force.
    """
    bound = scope()
    if isinstance(bound, CrossTenant):
        raise TenantMissing(f"no single tenant is bound inside cross_tenant({bound.reason!r})")
    return bound


def current_or_none() -> UUID | None:
    """The bound tenant's id, or None when no tenant is bound or `cross_tenant` is in force."""
    bound = _scope.get()
    return bound if isinstance(bound, UUID) else None


def is_across() -> bool:
    """Whether `cross_tenant` is in force."""
    return isinstance(_scope.get(), CrossTenant)


class bind:  # noqa: N801 - used like a function; not a generator, because it is entered many times in a request
    """Bind a tenant (None: none) for the block; the earlier binding comes back afterwards."""

    __slots__ = ("_tenant_id", "_token")

    def __init__(self, tenant_id: UUID | None) -> None:
        self._tenant_id = tenant_id

    def __enter__(self) -> None:
        self._token = _scope.set(self._tenant_id)

    def __exit__(self, *_: object) -> None:
        _scope.reset(self._token)


def enter(tenant_id: UUID | None) -> None:
    """Bind a tenant from here to the end of the `bind` block that surrounds the caller."""
    _scope.set(tenant_id)


@contextmanager
def in_system_tenant() -> Iterator[None]:
    """Bind `SYSTEM_TENANT` for the block, to work on rows that belong to no tenant.

    Raises:
        WrongTenant: a tenant is bound already.

    Example:
        with in_system_tenant():
            entries = await ENTRIES.page(query)
    """
    if _scope.get() not in (None, SYSTEM_TENANT):
        raise WrongTenant("rows that belong to no tenant cannot be reached while a tenant is bound")
    with bind(SYSTEM_TENANT):
        yield


@contextmanager
def cross_tenant(reason: str) -> Iterator[None]:
    """Allow reading every tenant's rows for the block; logged with its reason, not part of `host.sdk`.

    Raises:
        ValueError: the reason is blank.
    """
    if not reason.strip():
        raise ValueError("cross_tenant() needs a reason that a reader of the log will understand")
    _log.info("cross-tenant access: %s", reason)
    token = _scope.set(CrossTenant(reason))
    try:
        yield
    finally:
        _scope.reset(token)
