"""The current execution context: actor, tenant snapshot, permissions, plugin."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from host.contracts import Actor, Origin
from tenants import context
from tenants.access import Grants
from tenants.snapshots import TenantSnapshot


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """Origin (with the actor), tenant snapshot (None outside tenants), the actor's permissions there, plugin id.

    principals: what the actor stands for where something is shared; None: everything, as the host itself does.
    """

    origin: Origin
    tenant: TenantSnapshot | None
    grants: Grants
    plugin: str
    principals: frozenset[str] | None = None


NOBODY = Grants(frozenset())
NOWHERE = ExecutionContext(Origin("", Actor("system", label="system")), None, NOBODY, "host")
"""The host itself, in no tenant."""

# Not in the application's context: who acts, where and in whose code changes within one request.
_current: ContextVar[ExecutionContext] = ContextVar("execution_context", default=NOWHERE)


def execution_context() -> ExecutionContext:
    """The execution context of the calling code."""
    return _current.get()


def origin() -> Origin:
    """The bound origin; the system itself where nothing is bound."""
    return _current.get().origin


def actor() -> Actor:
    """Who is acting.

    Example:
        created_by = actor().user_id
    """
    return _current.get().origin.actor


def plugin() -> str:
    """The id of the plugin whose code runs; "host" for the host's own."""
    return _current.get().plugin


def grants() -> Grants:
    """What the actor may do in the bound tenant; nothing where nobody is bound."""
    return _current.get().grants


def principals() -> frozenset[str] | None:
    """What the actor stands for in the bound tenant; None: everything, for jobs, commands and the host itself.

    Example:
        mine = principals()
    """
    return _current.get().principals


class _Bound:
    """Binds for the block. A class, not a generator: it is entered many times in a request."""

    __slots__ = ("_new", "_token")

    def __init__(self, new: ExecutionContext) -> None:
        self._new = new

    def __enter__(self) -> None:
        self._token = _current.set(self._new)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


class use_context:  # noqa: N801 - used like a function
    """Bind a whole context, its tenant included, for the block."""

    __slots__ = ("_bound", "_new", "_token")

    def __init__(self, new: ExecutionContext) -> None:
        self._new, self._bound = new, context.bind(new.tenant.id if new.tenant else None)

    def __enter__(self) -> None:
        self._token = _current.set(self._new)
        self._bound.__enter__()

    def __exit__(self, *_: object) -> None:
        self._bound.__exit__()
        _current.reset(self._token)


def enter_context(new: ExecutionContext) -> None:
    """Bind a whole context from here to the end of the `use_context` block that surrounds the caller."""
    _current.set(new)
    context.enter(new.tenant.id if new.tenant else None)


def acting(as_origin: Origin) -> AbstractContextManager[None]:
    """Bind an origin for the block."""
    return _Bound(replace(_current.get(), origin=as_origin))


def as_plugin(plugin_id: str) -> AbstractContextManager[None]:
    """Bind the plugin whose code runs in the block."""
    here = _current.get()
    return _Bound(ExecutionContext(here.origin, here.tenant, here.grants, plugin_id, here.principals))


def in_tenant(facts: TenantSnapshot | None) -> AbstractContextManager[None]:
    """Bind a tenant's snapshot for the block; None binds no tenant.

    In another tenant than the bound one, the actor has no permissions and nothing is shared with them.
    """
    here = _current.get()
    if here.tenant is not None and (facts is None or facts.id != here.tenant.id):
        here = replace(here, grants=NOBODY, principals=None if here.principals is None else frozenset())
    return use_context(replace(here, tenant=facts))
