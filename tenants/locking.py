"""Lock the bound tenant's row, so that rules about several of its rows are checked by one transaction at a time."""

from __future__ import annotations

from tortoise.backends.base.client import TransactionalDBClient
from tortoise.exceptions import TransactionManagementError

from tenants.context import TenantMissing, current
from tenants.models import Tenant


async def lock_tenant() -> Tenant:
    """Wait for the tenant's lock, hold it until the transaction ends, and return the tenant as it is then.

    For rules such as "at least one owner" or "at most one open invitation": take it first, before other rows are
    locked or read, then check, then write. Reads, and writes that do not take this lock, are not blocked.

    Raises:
        TransactionManagementError: outside a transaction, where the lock would be released at once.
        TenantMissing: no tenant is bound, or it was purged.

    Example:
        async with unit_of_work():
            await lock_tenant()
            if await Note.filter(pinned=True).count() >= 3:
                raise Conflict("Three notes are pinned already.")
    """
    if not isinstance(Tenant._meta.db, TransactionalDBClient):
        raise TransactionManagementError("lock_tenant() holds to the end of a unit of work: begin one around it")
    tenant = await Tenant.select_for_update(no_key=True).get_or_none(id=current())
    if tenant is None:
        raise TenantMissing(f"tenant {current()} does not exist")
    return tenant
