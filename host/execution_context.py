"""Who is acting, from where, in which tenant and inside which plugin: bound for a request, a job or a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from host.contracts import Actor, Origin
from tenants import context
from tenants.access import Grants
from tenants.snapshots import TenantSnapshot


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """Where code stands: who is behind it, the tenant with what is known of it, what is held there, whose code."""

    origin: Origin
    tenant: TenantSnapshot | None
    grants: Grants
    plugin: str


NOBODY = Grants(frozenset())
NOWHERE = ExecutionContext(Origin("", Actor("system", label="system")), None, NOBODY, "host")
"""The host itself, in no tenant."""

_current: ContextVar[ExecutionContext] = ContextVar("standing", default=NOWHERE)


def execution_context() -> ExecutionContext:
    """Where the calling code stands."""
    return _current.get()


def origin() -> Origin:
    """The bound origin; the system itself where nothing is bound."""
    return _current.get().origin


def actor() -> Actor:
    """Who is acting."""
    return _current.get().origin.actor


def plugin() -> str:
    """The id of the plugin whose code runs; "host" for the host's own."""
    return _current.get().plugin


def grants() -> Grants:
    """What the actor may do in the bound tenant; nothing where nobody is bound."""
    return _current.get().grants


class _Bound:
    """Binds for the block. A class, not a generator: it is entered many times in a request."""

    __slots__ = ("_new", "_token")

    def __init__(self, new: ExecutionContext) -> None:
        self._new = new

    def __enter__(self) -> None:
        self._token = _current.set(self._new)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


@contextmanager
def use_context(new: ExecutionContext) -> Iterator[None]:
    """Bind all of it, the tenant too, for the block."""
    token = _current.set(new)
    try:
        with context.bind(new.tenant.id if new.tenant else None):
            yield
    finally:
        _current.reset(token)


def enter_context(new: ExecutionContext) -> None:
    """Bind all of it from here to the end of the `use_context` block that surrounds the caller."""
    _current.set(new)
    context.enter(new.tenant.id if new.tenant else None)


def acting(as_origin: Origin) -> AbstractContextManager[None]:
    """Bind an origin for the block."""
    return _Bound(replace(_current.get(), origin=as_origin))


def as_plugin(plugin_id: str) -> AbstractContextManager[None]:
    """Bind the plugin whose code runs in the block."""
    here = _current.get()
    return _Bound(ExecutionContext(here.origin, here.tenant, here.grants, plugin_id))


def in_tenant(facts: TenantSnapshot | None) -> AbstractContextManager[None]:
    """Bind a tenant, with what is known of it, for the block; None binds no tenant."""
    return use_context(replace(_current.get(), tenant=facts))
