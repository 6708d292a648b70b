"""Who is acting, from where, in which tenant and inside which plugin: bound for a request, a job or a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from host.contracts import Actor, Origin
from tenants import context
from tenants.access import Grants
from tenants.facts import TenantFacts


@dataclass(frozen=True, slots=True)
class Standing:
    """Where code stands: who is behind it, the tenant with what is known of it, what is held there, whose code."""

    origin: Origin
    facts: TenantFacts | None
    grants: Grants
    plugin: str


NOBODY = Grants(frozenset())
NOWHERE = Standing(Origin("", Actor("system", label="system")), None, NOBODY, "host")
"""The house itself, in no tenant."""

_standing: ContextVar[Standing] = ContextVar("standing", default=NOWHERE)


def standing() -> Standing:
    """Where the calling code stands."""
    return _standing.get()


def origin() -> Origin:
    """The bound origin; the system itself where nothing is bound."""
    return _standing.get().origin


def actor() -> Actor:
    """Who is acting."""
    return _standing.get().origin.actor


def plugin() -> str:
    """The id of the plugin whose code runs; "host" for the house's own."""
    return _standing.get().plugin


def grants() -> Grants:
    """What the actor may do in the bound tenant; nothing where nobody is bound."""
    return _standing.get().grants


class _Bound:
    """Binds for the block. A class, not a generator: it is entered many times in a request."""

    __slots__ = ("_new", "_token")

    def __init__(self, new: Standing) -> None:
        self._new = new

    def __enter__(self) -> None:
        self._token = _standing.set(self._new)

    def __exit__(self, *_: object) -> None:
        _standing.reset(self._token)


@contextmanager
def standing_as(new: Standing) -> Iterator[None]:
    """Bind all of it, the tenant too, for the block."""
    token = _standing.set(new)
    try:
        with context.bind(new.facts.id if new.facts else None):
            yield
    finally:
        _standing.reset(token)


def move_to(new: Standing) -> None:
    """Bind all of it from here to the end of the `standing_as` block that surrounds the caller."""
    _standing.set(new)
    context.enter(new.facts.id if new.facts else None)


def acting(as_origin: Origin) -> AbstractContextManager[None]:
    """Bind an origin for the block."""
    return _Bound(replace(_standing.get(), origin=as_origin))


def inside(plugin_id: str) -> AbstractContextManager[None]:
    """Bind the plugin whose code runs in the block."""
    here = _standing.get()
    return _Bound(Standing(here.origin, here.facts, here.grants, plugin_id))


def in_tenant(facts: TenantFacts | None) -> AbstractContextManager[None]:
    """Bind a tenant, with what is known of it, for the block; None binds no tenant."""
    return standing_as(replace(_standing.get(), facts=facts))
