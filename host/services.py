"""What the house offers to whoever handles a request, a job or a command: bound per application, asked by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel

from host.cache.window import CacheWindow
from host.cache.wire import Wire
from host.contracts import Action, Limit, TenantInfo
from host.data.database import Database
from host.data.transactions import Transactions, UnitOfWork
from host.errors import RateLimited
from host.jobs.ledger import Ledger
from host.limits.quotas import Quotas
from host.limits.rates import Bucket, Rates
from host.origin import origin, plugin, standing
from host.settings import Settings
from host.storage.window import Storage, StorageWindow
from tenants import context
from tenants.facts import Facts, TenantFacts
from tenants.models import Membership
from tenants.plans import LimitValue, Plans, effective_limit
from tenants.resolver import Directory

AnyModel = TypeVar("AnyModel", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one application, as plain objects; made by `host.app`."""

    settings: Settings
    database: Database
    transactions: Transactions
    wire: Wire
    rates: Rates
    quotas: Quotas
    ledger: Ledger
    storage: Storage
    plans: Plans
    facts: Facts
    directory: Directory
    limits: Mapping[str, Limit]
    plugin_settings: Mapping[str, BaseModel]
    tenant_settings: Mapping[str, type[BaseModel]]


_services: ContextVar[Services] = ContextVar("services")
_tenant_facts: ContextVar[TenantFacts | None] = ContextVar("tenant_facts", default=None)


def services() -> Services:
    """The services of the application that handles this request, job or command.

    Raises:
        LookupError: called outside all of them.
    """
    return _services.get()


@contextmanager
def offering(offered: Services) -> Iterator[None]:
    """Bind the services, and the database with them, for the block."""
    token = _services.set(offered)
    try:
        with offered.database.bind():
            yield
    finally:
        _services.reset(token)


async def tenant_facts() -> TenantFacts:
    """What is known of the bound tenant.

    Raises:
        TenantMissing: no tenant is bound.
    """
    tenant_id, known = context.current(), standing().facts
    if known is not None and known.id == tenant_id:
        return known
    found = await services().facts.tenant(tenant_id, None)
    if found is None:
        raise context.TenantMissing(f"tenant {tenant_id} does not exist")
    return found


async def tenant() -> TenantInfo:
    """The bound tenant."""
    facts = await tenant_facts()
    return TenantInfo(id=facts.id, slug=facts.slug, name=facts.name, plan=facts.plan)


def unit_of_work() -> AbstractAsyncContextManager[UnitOfWork]:
    """One transaction around one action; a nested one joins the outer.

    Never wait for anything outside the database inside it (a mail server, Stripe, a model): it holds a pooled
    connection. Enqueue a job instead.
    """
    return services().transactions.begin()


async def record_failure(
    name: str,
    reason: str,
    *,
    outcome: Literal["denied", "failed"] = "failed",
    resource_type: str = "",
    resource_id: str = "",
) -> None:
    """Record an action that was denied or failed, in a transaction of its own."""
    action = Action(
        name=name,
        resource_type=resource_type,
        resource_id=resource_id,
        outcome=outcome,
        before={},
        after={},
        origin=origin(),
        at=datetime.now(UTC),
        tenant_id=context.current_or_none(),
        reason=reason,
    )
    await services().transactions.tell_alone(action)


async def limit_value(name: str, facts: TenantFacts | None = None) -> tuple[LimitValue, str]:
    """What a plan limit is for the bound tenant, and where it comes from: "default", "plan" or "tenant"."""
    known = facts or await tenant_facts()
    declared = services().limits[name]
    return effective_limit(services().plans, known.plan, name, declared.default, known.limits.get(name))


async def spend(limit: str, amount: int = 1) -> None:
    """Spend from a quota of the bound tenant, inside the current unit of work; a rollback gives it back.

    Raises:
        QuotaExceeded: the plan does not allow that much more.
    """
    value, _ = await limit_value(limit)
    await services().quotas.spend(limit, amount, value)


async def give_back(limit: str, amount: int = 1) -> None:
    """Give back what was spent and not used, such as when the thing counted is deleted."""
    value, _ = await limit_value(limit)
    await services().quotas.give_back(limit, amount, value)


async def allow(limit: str) -> None:
    """Count one use against a rate of the bound tenant.

    Raises:
        RateLimited: the plan's rate is used up; Retry-After says for how long.
    """
    value, _ = await limit_value(limit)
    if value.amount is None or value.seconds is None:
        return
    bucket = Bucket(f"limit:{context.current()}:{limit}", value.amount, value.seconds)
    taken = await services().rates.take([bucket], [])
    if not taken.allowed:
        raise RateLimited(
            f"This organisation's plan allows {value} ({limit}).",
            details={"limit": limit, "value": str(value)},
            headers={"Retry-After": str(max(1, taken.reset_seconds))},
        )


def cache() -> CacheWindow:
    """Redis, seen through a window that already holds tenant and plugin in the key."""
    return CacheWindow(services().wire, context.current(), plugin())


def storage() -> StorageWindow:
    """Object storage, seen through a window that already holds tenant and plugin in the key."""
    return StorageWindow(services().storage, context.current(), plugin())


def settings(model: type[AnyModel]) -> AnyModel:
    """This deployment's settings of the plugin that registered `model`.

    Raises:
        LookupError: no loaded plugin registered it.
    """
    for value in services().plugin_settings.values():
        if isinstance(value, model):
            return value
    raise LookupError(f"no loaded plugin returned {model.__name__} from register_settings()")


async def tenant_settings(model: type[AnyModel]) -> AnyModel:
    """What the bound tenant has set for the plugin that registered `model`, defaults filled in."""
    for plugin_id, registered in services().tenant_settings.items():
        if registered is model:
            return model.model_validate((await tenant_facts()).plugin_settings.get(plugin_id, {}))
    raise LookupError(f"no loaded plugin returned {model.__name__} from register_tenant_settings()")


async def is_member(user_id: UUID) -> bool:
    """Whether a person belongs to the bound tenant."""
    return await Membership.filter(user_id=user_id).exists()
