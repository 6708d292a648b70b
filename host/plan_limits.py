"""Spend, reserve, count and check what the bound tenant's plan limits, for the whole tenant or for each person."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from host.contracts import Limit
from host.errors import ConfigurationError, RateLimited
from host.execution_context import actor
from host.input_errors import nearest
from host.instruments import tally
from host.limits.rates import Bucket
from host.services import services, tenant_snapshot
from tenants import context
from tenants.limits import LimitValue
from tenants.locking import lock_tenant
from tenants.plans import effective_limit
from tenants.snapshots import TenantSnapshot


async def limit_value(name: str, facts: TenantSnapshot | None = None) -> tuple[LimitValue, str]:
    """What a plan limit is for the bound tenant, and where it comes from: "default", "plan" or "tenant".

    Example:
        value, source = await limit_value("notes.bytes")
    """
    snapshot = facts or await tenant_snapshot()
    declared = _declared(name)
    return effective_limit(services().plans, snapshot.plan, name, declared.default, snapshot.limits.get(name))


async def spend(limit: str, amount: int = 1, *, person: UUID | None = None) -> None:
    """Spend from a quota of the bound tenant, inside the current unit of work; a rollback gives it back.

    amount: in the limit's unit; in the smallest unit of its currency where it is money, and in parts of that where the
    limit is declared with `parts`. person: whose quota, where each person has one; the actor's, without it.

    Raises:
        QuotaExceeded: the plan does not allow that much more.

    Example:
        async with unit_of_work():
            await spend("notes.notes")
            await NOTES.insert(text=text)
    """
    declared, value = _declared(limit), await _counted(limit)
    if declared.count is None:
        await services().quotas.spend(_counter(declared, person), amount, value)
    elif value.amount is not None:
        await lock_tenant()
        services().quotas.refuse_beyond(limit, value, await declared.count(), amount)


async def give_back(
    limit: str, amount: int = 1, spent_at: datetime | None = None, *, person: UUID | None = None
) -> None:
    """Give back what was spent and not used, such as when the thing counted is deleted; not where rows are counted.

    spent_at: when it was spent (now, without it), so that it goes back to the period it came from.

    Example:
        await give_back("notes.bytes", len(note["text"]))
    """
    declared = _declared(limit)
    if declared.count is None:
        await services().quotas.give_back(_counter(declared, person), amount, await _counted(limit), spent_at)


async def reserve(limit: str, amount: int, *, person: UUID | None = None, lasts: timedelta | None = None) -> UUID:
    """Spend what will be used at most, before it is known how much it is; `settle` corrects it. The reservation's id.

    In the current unit of work. lasts: given back after that, unless settled before; None: it waits for ever.

    Example:
        reservation = await reserve("ai.tokens", 4000)          # in one unit of work
        await settle(reservation, used)                         # later, in another one

    Raises:
        QuotaExceeded: the plan does not allow that much more. TypeError: the limit counts rows.
    """
    declared = _declared(limit)
    if declared.count is not None:
        raise TypeError(f"{limit} counts rows: there is nothing to reserve")
    return await services().quotas.reserve(_counter(declared, person), amount, await _counted(limit), lasts)


async def settle(reservation: UUID, amount: int) -> bool:
    """Replace a reservation by what was really used, in the window it was made in; 0 gives all of it back.

    It may be more than was reserved, and more than the plan allows: what has happened is counted and shown. False, and
    nothing happens, when it was settled before or has lapsed.

    Example:
        await settle(reservation, used)
    """
    return await services().quotas.settle(reservation, amount)


async def set_used(limit: str, used: int, *, person: UUID | None = None) -> int:
    """Set what is used of a quota in its current window to a true count, plus open reservations; the difference.

    Example:
        difference = await set_used("notes.bytes", total)
    """
    declared = _declared(limit)
    return await services().quotas.reconcile(_counter(declared, person), await _counted(limit), used)


async def limit_used(limit: str, value: LimitValue, *, person: UUID | None = None) -> int | None:
    """How much of a quota the bound tenant uses now, rounded up to whole units; None for a limit that is no quota.

    Where each person has a quota of their own: what the person, or the actor, uses; None where there is none.
    """
    declared = _declared(limit)
    if declared.count is not None:
        return await declared.count()
    if declared.kind != "quota" or (declared.per == "person" and (person or actor().user_id) is None):
        return None
    used = await services().quotas.used(_counter(declared, person), value)
    return -(-used // declared.parts)


async def allow(limit: str, key: str = "") -> None:
    """Count one use against a rate of the bound tenant; key: whose, where each one has a rate of its own.

    Where each person has a rate, it is the actor's, unless a key says otherwise.

    Raises:
        RateLimited: the plan's rate is used up; Retry-After says for how long.

    Example:
        await allow("notes.searches")
    """
    value, _ = await limit_value(limit)
    if value.amount is None or value.seconds is None:
        return
    declared = _declared(limit)
    key = key or (str(_person(declared, None)) if declared.per == "person" else "")
    whose = f":{sha256(key.encode()).hexdigest()}" if key else ""
    bucket = Bucket(f"limit:{context.current()}:{limit}{whose}", value.amount, value.seconds)
    taken = await services().rates.take([bucket], [])
    if not taken.allowed:
        tally("tenantry_rate_refusals_total", limit)
        raise RateLimited(
            f"This organisation's plan allows {value} ({limit}).",
            details={"limit": limit, "value": str(value)},
            headers={"Retry-After": str(max(1, taken.reset_seconds))},
        )


def _declared(name: str) -> Limit:
    declared = services().limits.get(name)
    if declared is None:
        near = nearest(name, services().limits)
        raise ConfigurationError(f"no loaded plugin declares a limit {name!r}; correct the name in the code{near}")
    return declared


async def _counted(name: str) -> LimitValue:
    """The limit in the units in which it is counted."""
    (value, _), parts = await limit_value(name), _declared(name).parts
    return value if value.amount is None or parts == 1 else replace(value, amount=value.amount * parts)


def _counter(declared: Limit, person: UUID | None) -> str:
    """The name under which use is counted; see `host.limits.models.QuotaUse`."""
    return declared.name if declared.per == "tenant" else f"{declared.name}@{_person(declared, person)}"


def _person(declared: Limit, person: UUID | None) -> UUID:
    whose = person or actor().user_id
    if whose is None:
        raise ConfigurationError(f"{declared.name} is counted for each person: say whose it is with `person`")
    return whose
