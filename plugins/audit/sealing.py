"""Sealing: entries get their place in the tenant's chain, in batches, by one sealer at a time."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from uuid import UUID

from host.sdk import GiveUp, Metric, Records, count, record_failure, settings, unit_of_work

from . import checkpoints
from .checkpoints import Head
from .models import Chain, Entry
from .settings import Settings
from .signing import LASTING, PERSONAL, chain_key, commitment, genesis, link, mac
from .words import words_of

SEAL = "audit.seal"
BATCH = 1000  # entries per transaction: keeps each short

_log = logging.getLogger("plugins.audit")
WHOLE = Records(
    Entry,
    fields=("id", *LASTING[1:], *PERSONAL, "salt", "erased", "mac", "position", "hash"),
    filters={"after": "position:gt", "until": "position:lte", "ids": "id:in"},
    sorts=("at",),
    default_sort="at",
    full_text=True,
)
"""Entries with everything that is stored of them, but for the words that are made of it."""

FAULTS = Metric(
    "tenantry_audit_checkpoint_faults_total",
    "counter",
    "Checkpoints of audit logs that were gone, unreadable or altered",
)

_ASKED_FOR: OrderedDict[UUID | None, int] = OrderedDict()
"""The last slot of time for which this process has asked for a tenant to be sealed: a memory that only saves work."""
_MOST_REMEMBERED = 100_000
_IN_FLIGHT = timedelta(seconds=1)  # between the writing of an entry and its commit


async def seal_soon(tenant_id: UUID | None, at: datetime) -> None:
    """Have the tenant's entries sealed when the present slot of time is over; only the first one in a slot pays."""
    every = settings(Settings).seal_seconds
    slot = int(at.timestamp() // every)
    if _ASKED_FOR.get(tenant_id) == slot:
        return
    end = datetime.fromtimestamp((slot + 1) * every, UTC) + _IN_FLIGHT
    async with unit_of_work() as work:
        await work.enqueue(SEAL, run_at=end, key=str(slot))

        async def remember() -> None:  # not before: what is rolled back has asked for nothing
            _ASKED_FOR[tenant_id] = slot
            _ASKED_FOR.move_to_end(tenant_id)
            if len(_ASKED_FOR) > _MOST_REMEMBERED:
                _ASKED_FOR.popitem(last=False)

        work.after_commit(remember)


async def seal() -> int:
    """Seal what the bound tenant has that is not sealed yet, then keep the chain's head outside; how many entries.

    Raises:
        GiveUp: the deployment's secret is not the one the chain was begun with.
        Unavailable: database or storage are away.
    """
    key = chain_key()
    outside, wrong = await checkpoints.look()
    if outside is not None and not outside.is_genuine(key):
        outside, wrong = None, "is not genuine: it was altered, or the secret was changed"
    if wrong and await was_stored():
        await _tell_of_fault(f"the checkpoint of the audit log {wrong}")
    while await _adopt_batch(key, outside):
        pass
    entries = 0
    while sealed := await _seal_batch(key, outside):
        entries += sealed
        if sealed < BATCH:
            break
    await keep_outside(key, outside)
    return entries


async def was_stored() -> bool:
    """Whether the bound tenant's chain had a checkpoint outside: one that is not there now was taken away."""
    return await Chain.filter(stored_position__gt=0).exists()


async def _tell_of_fault(what: str) -> None:
    """Say it where it lasts, before a new checkpoint takes the place: in the log itself, a metric and the log lines."""
    _log.error("%s; look with `tenantry audit verify`, against a copy kept elsewhere", what)
    count(FAULTS.name)
    await record_failure("audit.checkpoint.check", what, resource_type="audit_log")


async def keep_outside(key: bytes, outside: Head | None) -> None:
    """Store the chain's head as checkpoint, again where another process has moved it meanwhile."""
    while (head := await head_of_chain()) is not None and head != outside:
        if not head.is_genuine(key):
            _log.error("the head of the audit log's chain was altered: the checkpoint outside stays as it is")
            return
        if outside is not None and head.position < outside.position:
            return  # the table is behind: what is outside is the evidence
        await checkpoints.store(head)
        await Chain.all().update(stored_position=head.position)
        outside = head


async def head_of_chain() -> Head | None:
    """The head of the bound tenant's chain as the database has it; None before anything was sealed."""
    row = await Chain.get_or_none()
    return None if row is None else _head(row)


async def hold(key: bytes, outside: Head | None) -> tuple[Chain, Head]:
    """The chain's row, locked for the unit of work, and the head to go on from.

    Where the checkpoint outside is ahead of the table, entries were cut off: the chain goes on behind them, so that the
    gap stays to be seen.

    Raises:
        GiveUp: the head is not genuine.
    """
    row = await Chain.select_for_update().get_or_none()
    if row is None:
        begin = Head(0, genesis(key), 0, genesis(key), datetime.now(UTC)).signed(key)
        await Chain.bulk_create([Chain(**asdict(begin))], ignore_conflicts=True)  # another sealer may be first
        row = await Chain.select_for_update().get()
    head = _head(row)
    if not head.is_genuine(key):
        raise GiveUp(
            "the head of the audit log's chain is not signed with this deployment's secret: give the former one as "
            "TENANTRY_AUDIT__CHAIN_SECRET, or look with `tenantry audit verify` who has altered it"
        )
    if outside is not None and outside.position > head.position:
        _log.error("entries of the audit log behind position %s are gone", head.position)
        head = outside
    return row, head


async def move(row: Chain, head: Head, key: bytes) -> None:
    """Write the chain's new head into the row that is held."""
    row.update_from_dict(asdict(head.signed(key)))
    await row.save()


def _head(row: Chain) -> Head:
    return Head(
        row.position, row.hash, row.pruned_position, row.pruned_hash, row.sealed_at.astimezone(UTC), row.signature
    )


async def _seal_batch(key: bytes, outside: Head | None) -> int:
    if not await Entry.filter(position__isnull=True).exists():
        return 0
    async with unit_of_work():
        row, head = await hold(key, outside)
        waiting = await WHOLE.some(BATCH, position=None)
        position, before, sealed = head.position, head.hash, []
        for entry in sorted(waiting, key=itemgetter("at", "id")):
            position += 1
            before = link(key, before, position, entry["mac"] or "")
            sealed.append((entry["id"], position, before, words_of(entry, row.tenant_id)))
        if sealed:
            await WHOLE.change_each(("position", "hash", "words"), sealed)
            now = datetime.now(UTC)
            await move(row, Head(position, before, head.pruned_position, head.pruned_hash, now), key)
    return len(sealed)


async def _adopt_batch(key: bytes, outside: Head | None) -> int:
    """Sign entries that were written before entries were signed; only as long as the tenant has no chain."""
    known = await head_of_chain()
    if (known is not None and known.position) or not await Entry.filter(mac__isnull=True).exists():
        return 0
    async with unit_of_work():
        _, head = await hold(key, outside)
        if head.position:
            return 0
        found = await WHOLE.some(BATCH, mac=None)
        for row in found:
            row["salt"] = secrets.token_hex(16)
        signed = [(row["id"], row["salt"], mac(key, row, commitment(row))) for row in found]
        await WHOLE.change_each(("salt", "mac"), signed)
    return len(signed)
