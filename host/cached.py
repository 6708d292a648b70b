"""Cache computed values for plugins: of the bound tenant and, in a request, of those who have the actor's rights."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from hashlib import blake2b
from typing import Any

from host.cache.computed import plain
from host.data.database import bound
from host.execution_context import grants, plugin, principals
from host.services import services, unit_of_work
from tenants.context import current


async def cached(
    key: str,
    make: Callable[[], Awaitable[Any]],
    *,
    ttl: float,
    tags: Collection[str] = (),
    stale: float = 0.0,
    local: float = 0.0,
    everyone: bool = False,
) -> Any:
    """What `make` returned lately for this key, else what it returns now, as plain JSON values; one process computes.

    The bound tenant and the running plugin are part of the key, and in a request also what the actor may do and stands
    for, so that nobody is shown what another may see; everyone: leave the actor out, for what is the same for all.
    ttl: seconds it is fresh, a day at most. tags: `drop_tags` with one of them makes it be computed anew. stale:
    seconds after `ttl` in which the old value is returned while the next is computed. local: seconds in which this
    process answers without asking Redis, dropped tags included. In a unit of work nothing is cached: it may be undone.

    Raises:
        TypeError: what `make` returns cannot be written as JSON.

    Example:
        async def totals() -> Row:
            return await cached("totals", _count_all, ttl=60, tags=("notes",))
    """
    if bound().in_transaction:
        return plain(await make())
    whose = "" if everyone or principals() is None else f":{_rights()}"
    return await services().computed.get(
        f"{_prefix()}c:{key}{whose}", make, tags=[_tag(tag) for tag in tags], ttl=ttl, stale=stale, local=local
    )


async def drop_tags(*tags: str) -> None:
    """Make values with one of these tags be computed anew, in every process, once the unit of work is committed.

    Example:
        async with unit_of_work() as work:
            row = await NOTES.insert(text=text)
            await drop_tags("notes")
    """
    async with unit_of_work() as work:
        work.drop_tags(*map(_tag, tags))


def _prefix() -> str:
    return f"t:{current()}:{plugin()}:"


def _tag(name: str) -> str:
    return f"{_prefix()}tag:{name}"


def _rights() -> str:
    held = grants()
    rights = "\0".join([str(held.all_permission), *sorted(held.permissions), "", *sorted(principals() or ())])
    return blake2b(rights.encode(), digest_size=16).hexdigest()
